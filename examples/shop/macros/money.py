"""Macros of the shop."""

from sqlglot import exp
from sqlmesh import macro


@macro()
def in_cents(evaluator, amount: exp.Expression) -> exp.Expression:
    """An amount as whole cents."""
    return exp.cast(exp.func("ROUND", exp.Mul(this=exp.Paren(this=amount), expression=exp.Literal.number(100))), "bigint")
