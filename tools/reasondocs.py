"""Pages made from the tables of conditions and reasons: the list, and one page for each reason.

Called by `tools.generate`. The texts are those of the tables; what a page has beyond them is written by hand in
`docs/reference/reasons.d/REASON.md`, beside the pages, so that its links are the same in both places.
"""

from collections.abc import Mapping
from pathlib import Path

from tools.refdocs import HEAD, escaped
from vulcan_contract.reasons import ABOUT
from vulcan_operator.api.conditions import Type, Why

_LIST = """# Conditions and reasons

All that `status.conditions` may say. Each reason has a page of its own.

## Conditions

| Condition | `True` means |
|---|---|
"""
_OPERATOR = """
## Reasons of the operator

Why an object waits, works or stops.

| Reason | What it means | What to do |
|---|---|---|
"""
_TASKS = """
## Reasons of a task's end

How a Job ended. *Failed* is due to the project, the spec or the data, *Errored* to machinery, *Aborted*
was stopped. *Retried*: Backoff counts against `retry.limit`, Wait continues without limit, Replan builds a
new plan (and asks for approval again), Never waits for a human or a change.

| Reason | Outcome | Retried | What it means | What to do |
|---|---|---|---|---|
"""
_AGAIN = {
    "Never": "never on its own",
    "Now": "at once",
    "Backoff": "with growing pauses, up to `retry.limit` attempts",
    "Wait": "without limit, at the latest after `retry.maxBackoff`",
    "Replan": "with a new plan, which is approved again",
}


def listed() -> str:
    """`docs/reference/reasons.md`: conditions, then the operator's own reasons, then those of a task's end."""
    parts = [HEAD, _LIST, *(f"| `{kind}` | {escaped(kind.description)} |\n" for kind in Type), _OPERATOR]
    parts += [
        f"| {_link(why)} | {escaped(why.meaning)} | {escaped(why.next_step)} |\n"
        for why in Why
    ]
    parts.append(_TASKS)
    parts += [
        f"| {_link(name)} | {about.outcome} | {about.retry} | {escaped(about.meaning)} | {escaped(about.next_step)} |\n"
        for name, about in ABOUT.items()
    ]
    return "".join(parts)


def pages(by_hand: Path) -> Mapping[str, str]:
    """File name -> text, one for each reason of both tables. `by_hand`: the folder of what is added to them."""
    found = {
        str(why): _page(why, "A reason of the operator.", why.meaning, why.next_step) for why in Why
    }
    for reason, task in ABOUT.items():
        kind = f"How a Job ended: {task.outcome}. Retried: {_AGAIN[task.retry]}."
        found[str(reason)] = _page(reason, kind, task.meaning, task.next_step)
    for part in sorted(by_hand.glob("*.md")):
        found[part.stem] += "\n" + part.read_text(encoding="utf-8")
    return {f"{name}.md": text for name, text in found.items()}


def _page(name: str, kind: str, meaning: str, next_step: str) -> str:
    return (
        f"{HEAD}# {name}\n\n{kind} [All reasons](../reasons.md).\n\n"
        f"- **Means:** {escaped(meaning)}\n- **To do:** {escaped(next_step)}\n"
    )


def _link(name: str) -> str:
    return f"[`{name}`](reasons/{name}.md)"
