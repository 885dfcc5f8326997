"""Exceptions to reasons: the one place to edit when SQLMesh or a driver changes its words.

Called by `worker` at the process edge with the stage the task was in, and by `attempt` for the
failures that SQLMesh's console reported. Nothing else in the runner may read an exception's text.
"""

import re
from typing import Any

from pydantic import ValidationError
from sqlglot.errors import SqlglotError
from sqlmesh.utils import errors as sqlmesh_errors
from sqlmesh.utils.date import to_datetime

from vulcan_contract.codec import ContractError
from vulcan_contract.reasons import Reason, Retry
from vulcan_contract.result import Failure
from vulcan_contract.times import rfc3339
from vulcan_runner import names
from vulcan_runner.problem import Problem
from vulcan_runner.secrets import cut, without_data

_MESSAGE = 500
# 25P02: the error before it is lost; a new process gets further.
_TRANSIENT = ("08", "40", "53", "57", "25P02")
_REFUSED = (
    "password authentication failed", "authentication failed", "no pg_hba.conf entry",
    "access denied for user", "login failed", "invalid authorization",
    "incorrect username or password", "is not permitted to log in",
    "permission denied for database", "invalid credentials", "401 unauthorized",
)  # fmt: skip
_ROLE = re.compile(r'role "[^"]*" does not exist')
_BUSY = (
    "could not set lock on file",
    "conflicting lock is held",
    "different configuration than existing connections",
)
_AWAY = (
    "connection refused", "could not connect", "timeout expired", "timed out",
    "could not translate host name", "server closed the connection", "connection to server",
    "is starting up", "shutting down", "too many connections", "too many clients",
    "no route to host", "network is unreachable", "connection reset", "broken pipe",
    "terminating connection", "connection already closed", "ssl syscall", "ssl connection",
    "cursor already closed", "connection not open", "remaining connection slots",
)  # fmt: skip
_BY_TYPE: tuple[tuple[type[Exception], Reason], ...] = (
    (ContractError, Reason.CONTRACT_MISMATCH),
    (sqlmesh_errors.ConflictingPlanError, Reason.PLAN_CONFLICT),
    (sqlmesh_errors.UncategorizedPlanError, Reason.UNCATEGORIZED),
    (sqlmesh_errors.LinterError, Reason.LINT_FAILED),
)
_BY_TEXT = (
    ("was not found", Reason.ENVIRONMENT_NOT_FOUND),
    ("must exist for this operation", Reason.ENVIRONMENT_NOT_FOUND),
    ("exceeded the maximum wait time", Reason.UNFINALIZED),
    ("another plan", Reason.PLAN_CONFLICT),
)
_NO_DRIVERS = ("sqlmesh", "sqlglot", "vulcan_runner", "builtins")
_BY_STAGE = {
    "config": Reason.CONFIG_INVALID, "load": Reason.PROJECT_LOAD_FAILED,
    "lint": Reason.PROJECT_LOAD_FAILED, "test": Reason.TESTS_FAILED, "plan": Reason.PLAN_REJECTED,
}  # fmt: skip


def problem(error: BaseException, stage: str) -> Problem:
    """Why the task ended with this exception."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, MemoryError):
        return Problem(Reason.OUT_OF_MEMORY, f"Stage {stage}: Python got no more memory.")
    text = _text(error)
    for kind, reason in _BY_TYPE:
        if isinstance(error, kind):
            return Problem(reason, _cut(text))
    driver = _driver_error(error)
    if driver is not None:
        code = getattr(driver, "pgcode", None)
        found = connection_reason(str(driver), code, Reason.STATE_UNREACHABLE)
        if found is not None:
            return Problem(found, _cut(without_data(str(driver))))
    stages = ("apply", "run", "invalidate", "plan", "verify")
    if isinstance(error, sqlmesh_errors.SQLMeshError) and stage in stages:
        for sign, reason in _BY_TEXT:
            if sign in text.lower():
                return Problem(reason, _cut(text))
    if stage in _BY_STAGE and not isinstance(error, OSError):
        return Problem(_BY_STAGE[stage], _cut(_first_words(error)))
    if isinstance(error, sqlmesh_errors.ConfigError):
        return Problem(Reason.CONFIG_INVALID, _cut(_first_words(error)))
    if isinstance(error, sqlmesh_errors.PlanError):
        reason = Reason.PLAN_REJECTED if stage != "apply" else Reason.MODEL_FAILED
        return Problem(reason, _cut(_first_words(error)))
    words = f"Stage {stage}: {type(error).__name__}: {without_data(text)}"
    return Problem(Reason.RUNNER_CRASHED, _cut(words))


def connection_reason(text: str, code: str | None, away: Reason) -> Reason | None:
    """What a driver's error means for the connection; None when it is about a statement."""
    lower = text.lower()
    if any(sign in lower for sign in _BUSY):
        return Reason.STATE_BUSY
    refused = any(sign in lower for sign in _REFUSED) or _ROLE.search(lower)
    if (code or "").startswith("28") or refused:
        return Reason.AUTH_FAILED
    if (code or "")[:2] in ("08", "57") or (code is None and any(sign in lower for sign in _AWAY)):
        return away
    return None


def of_models(errors: list[Any], catalog: str | None) -> tuple[Failure, ...]:
    """The failed models that the console reported, each with its cause."""
    return tuple(failure for error in errors for failure in _of_model(error, catalog))


def ended(failures: tuple[Failure, ...], errors: list[Any]) -> Problem:
    """Why a task ended whose models failed. A lost connection alone is worth waiting for."""
    own = next((e.__cause__ for e in errors if isinstance(e.__cause__, Problem)), None)
    if own is not None:
        return Problem(own.reason, own.message, retry=own.retry, failures=failures)
    audits_only = bool(failures) and all(f.reason is Reason.AUDIT_FAILED for f in failures)
    reason = Reason.AUDIT_FAILED if audits_only else Reason.MODEL_FAILED
    transient = bool(errors) and all(is_transient(e.__cause__ or e) for e in errors)
    names_of = sorted({f.model for f in failures})
    first = next((f for f in failures if f.reason is reason), None)
    more = f" (and {len(names_of) - 1} more)" if len(names_of) > 1 else ""
    message = f"{first.model}{more}: {first.message}" if first else "Models failed."
    retry = Retry.WAIT if transient else None
    return Problem(reason, _cut(message), retry=retry, failures=failures)


def is_transient(error: BaseException) -> bool:
    """Whether a retry helps: a lost connection, a deadlock, a full server."""
    driver = _driver_error(error)
    if driver is None:
        return False
    code = getattr(driver, "pgcode", None) or getattr(driver, "sqlstate", None)
    if code:
        return str(code).startswith(_TRANSIENT)
    return connection_reason(str(driver), None, Reason.WAREHOUSE_UNREACHABLE) is not None


def of_one(error: Exception) -> str:
    """Why one of several models could not be compared; re-raises what concerns them all."""
    if is_transient(error) or isinstance(error, Problem):
        raise error
    return cut(without_data(_first_words(error)), 300)


def certainly_not_written(error: BaseException, transactional: bool) -> bool:
    """Whether a failed batch is known to have left no rows: the server refused it, or all of it was
    rolled back. Lost connections and failed audits (which come after the rows) leave that open."""
    if isinstance(error, sqlmesh_errors.NodeAuditsErrors) or is_transient(error):
        return False
    return transactional or _driver_error(error) is not None


def _of_model(error: Any, catalog: str | None) -> list[Failure]:
    node, cause = error.node, error.__cause__ or error
    fqn = getattr(node, "snapshot_name", None) or getattr(node, "name", None) or str(node)
    model, interval = names.display(fqn, catalog), _interval(getattr(node, "interval", None))
    if isinstance(cause, Problem):
        return [Failure(model, cause.reason, _cut(cause.message), interval)]
    if isinstance(cause, sqlmesh_errors.NodeAuditsErrors):
        found = [(e.audit_name, f"audit {e.audit_name} found {e.count} rows") for e in cause.errors]
        return [Failure(model, Reason.AUDIT_FAILED, said, interval, audit) for audit, said in found]
    if isinstance(cause, sqlmesh_errors.SQLMeshError) and cause.__cause__ is None:
        return [Failure(model, Reason.MODEL_FAILED, _cut(str(cause)), interval)]
    return [Failure(model, Reason.MODEL_FAILED, _cut(without_data(_first_words(cause))), interval)]


def _interval(interval: Any) -> str:
    if not interval:
        return ""
    start, end = (rfc3339(to_datetime(i)) for i in interval)
    return f"{start}/{end}"


def _driver_error(error: BaseException | None) -> BaseException | None:
    """The driver's exception among an exception and its causes, by PEP 249's class names."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        module = type(error).__module__.split(".")[0]
        if module not in _NO_DRIVERS and _is_dbapi(type(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_dbapi(kind: type) -> bool:
    names_of = {c.__name__ for c in kind.__mro__}
    return bool(names_of & {"DatabaseError", "InterfaceError"}) or any(
        c.__module__.split(".")[0] in ("duckdb", "_duckdb") for c in kind.__mro__
    )


def _first_words(error: BaseException) -> str:
    text = _text(error).strip() or type(error).__name__
    if isinstance(error, (sqlmesh_errors.SQLMeshError, SqlglotError)):
        return re.sub(r"\x1b\[[0-9;]*m", "", text)
    return text if _driver_error(error) is error else f"{type(error).__name__}: {text}"


def _text(error: BaseException) -> str:
    """The exception's own words, without the values that pydantic quotes: it shortens them in the
    middle, so that a secret in them would not be recognised."""
    text, seen = str(error), error
    for _ in range(10):
        if isinstance(seen, ValidationError):
            text = text.replace(str(seen), _invalid(seen))
        following = seen.__cause__ or seen.__context__
        if following is None:
            break
        seen = following
    return text


def _invalid(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or error.title}: {e['msg']}" for e in found)


def _cut(text: str) -> str:
    return cut(text, _MESSAGE)
