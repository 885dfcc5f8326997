"""Makes the pages of the tables of conditions and reasons: the list, and one page for each reason.

Called by `tools.generate`. The texts come from the tables; longer help is written by hand in
`docs/reference/reasons.d/REASON.md`, beside the pages, so that its links are the same in both places.
"""

from collections.abc import Mapping
from pathlib import Path

from tools.refdocs import HEAD, escaped
from vulcan_contract.reasons import ABOUT
from vulcan_operator.api.conditions import Type, Why

_LIST = """# Conditions and reasons

All conditions that `status.conditions` may contain, and all their reasons. Each reason has its own page.

## Conditions

| Condition | `True` means |
|---|---|
"""
_OPERATOR = """
## Reasons of the operator

Why the operator waits, works or stops at an object.

| Reason | What it means | What to do |
|---|---|---|
"""
_TASKS = """
## Reasons of ended tasks

How a Job ended. *Outcome*: Failed is caused by the project, the spec or the data, Errored by the
infrastructure, and an Aborted task was stopped. *Retried*: Backoff counts against `retry.limit`, Wait
retries without limit, Replan builds a new plan, which needs approval again, and Never waits for a user or
a change.

| Reason | Outcome | Retried | What it means | What to do |
|---|---|---|---|---|
"""
_AGAIN = {
    "Never": "not automatically",
    "Now": "at once",
    "Backoff": "with exponential backoff, up to `retry.limit` attempts",
    "Wait": "without limit, at intervals of at most `retry.maxBackoff`",
    "Replan": "with a new plan, which needs approval again",
}


def listed() -> str:
    """Return `docs/reference/reasons.md`: conditions, the operator's own reasons, and those of ended tasks."""
    parts = [HEAD, _LIST, *(f"| `{kind}` | {escaped(kind.description)} |\n" for kind in Type), _OPERATOR]
    parts += [f"| {_link(why)} | {escaped(why.meaning)} | {escaped(why.next_step)} |\n" for why in Why]
    parts.append(_TASKS)
    parts += [
        f"| {_link(name)} | {about.outcome} | {about.retry} | {escaped(about.meaning)} | {escaped(about.next_step)} |\n"
        for name, about in ABOUT.items()
    ]
    return "".join(parts)


def pages(by_hand: Path) -> Mapping[str, str]:
    """Return file name -> text for each reason of both tables. `by_hand` is the folder of longer help."""
    found = {str(why): _page(why, "Reason of the operator.", why.meaning, why.next_step) for why in Why}
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
