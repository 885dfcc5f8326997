"""The data diff gate: a verdict from what the runner has counted. Pure; used by step Diff.

Within one system one task `diff` compares, and `judge` judges its report. Across systems each side
is counted by a task of its own; while `ends_to_ask` names models, the side that is ahead is counted
again up to these ends, then `compare` judges both reports. A model that could not be compared is
never taken for equal: where the gate is Required, it asks a human.
"""

import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from vulcan_contract import words
from vulcan_contract.codec import ContractError
from vulcan_contract.diff_report import MAX_UNPACKED, DiffReport, ModelStatistics
from vulcan_operator.api.promotion import DataDiffGate
from vulcan_operator.api.promotion_status import StepState
from vulcan_operator.plan.core.moves import Done
from vulcan_operator.plan.promotions import data_diff_models as models
from vulcan_operator.plan.promotions.data_diff_models import Finding, ModelFinding

_MOST_EVIDENCE = 32
_SHOWN = 3
_LONGEST = 900
_GZIP = 31  # as zlib names it
_WORST_FIRST = (
    Finding.ABOVE, Finding.OPEN, Finding.EXPECTED, Finding.WITHIN, Finding.SKIPPED, Finding.EQUAL,
)  # fmt: skip
_UNREADABLE = "the report of the data diff is missing or cannot be read"


def read(packed: bytes | None) -> DiffReport | None:
    """A report as it was found in a log (`report.packed`); None for what is none."""
    if packed is None:
        return None
    unpack = zlib.decompressobj(_GZIP)
    try:
        text = unpack.decompress(packed, MAX_UNPACKED)
        return DiffReport.from_json(text.decode()) if unpack.eof else None
    except (zlib.error, UnicodeDecodeError, ContractError):
        return None


def judge(gate: DataDiffGate, report: DiffReport | None) -> Done:
    """Within one system."""
    if report is None or report.statistics:
        return _by_mode(gate, Done(StepState.INCONCLUSIVE, _UNREADABLE))
    findings = [models.rows(gate, model) for model in report.models]
    counts = {
        "identical": report.identical, "leftAlone": report.left_alone,
        "added": report.added, "removed": report.removed,
    }  # fmt: skip
    return _by_mode(gate, _verdict(gate, findings, counts, report.omitted))


def compare(gate: DataDiffGate, source: DiffReport | None, target: DiffReport | None) -> Done:
    """Across systems."""
    if source is None or target is None or not (source.statistics and target.statistics):
        return _by_mode(gate, Done(StepState.INCONCLUSIVE, _UNREADABLE))
    if not source.plan_id:
        unknown = f"{source.environment} is not in the state of the source's system"
        return _by_mode(gate, Done(StepState.INCONCLUSIVE, unknown))
    after, before = _by_name(source), _by_name(target)
    both = sorted(after.keys() & before.keys())
    if after and before and not both:
        return _by_mode(gate, Done(StepState.INCONCLUSIVE, "no model is there on both sides"))
    codes = {n: (before[n].code, after[n].code) for n in both if gate.models != "All"}
    alone = {n for n, (old, new) in codes.items() if old and new and old != new}
    findings = [models.statistics(gate, before[n], after[n]) for n in both if n not in alone]
    added, removed = len(after) - len(both), len(before) - len(both)
    counts = {"leftAlone": len(alone), "added": added, "removed": removed}
    return _by_mode(gate, _verdict(gate, findings, counts, max(source.omitted, target.omitted)))


def ends_to_ask(source: DiffReport | None, target: DiffReport | None) -> dict[str, str]:
    """Models whose two sides were counted up to different times, and the earlier of these."""
    if source is None or target is None:
        return {}
    after, before = _by_name(source), _by_name(target)
    ends: dict[str, str] = {}
    for name in sorted(after.keys() & before.keys()):
        one, other = before[name], after[name]
        counted = one.restricted and other.restricted and not (one.why or other.why)
        if counted and one.end != other.end:
            ends[name] = min(one.end, other.end, key=datetime.fromisoformat)
    return ends


def _by_name(report: DiffReport) -> dict[str, ModelStatistics]:
    return {model.name: model for model in report.counted}


def _by_mode(gate: DataDiffGate, judged: Done) -> Done:
    """Where the gate is Optional, a rejection is only shown."""
    if gate.mode == "Skip":
        return Done(StepState.SKIPPED, "gates.dataDiff.mode: Skip")
    if gate.mode == "Required" or judged.state not in (StepState.FAILED, StepState.INCONCLUSIVE):
        return judged
    return Done(StepState.SKIPPED, f"gates.dataDiff is Optional: {judged.message}", judged.evidence)


def _verdict(
    gate: DataDiffGate, findings: list[ModelFinding], counts: dict[str, int], omitted: int
) -> Done:
    said = Counter(model.finding for model in findings)
    counts = {
        "compared": said[Finding.EQUAL] + said[Finding.WITHIN] + said[Finding.ABOVE],
        "equal": said[Finding.EQUAL], "aboveLimits": said[Finding.ABOVE],
        "notCompared": said[Finding.OPEN], "expected": said[Finding.EXPECTED],
        "skipped": said[Finding.SKIPPED], "omitted": omitted,
        "byRowCountsOnly": sum(m.by_counts for m in findings if m.finding is not Finding.SKIPPED),
        **counts,
    }  # fmt: skip
    evidence = {key: str(count) for key, count in counts.items() if count or key == "compared"}
    # A name that is misspelt would otherwise only show as the model that it does not excuse.
    unused = ", ".join(sorted(set(gate.expected_changes) - {model.name for model in findings}))
    evidence |= {"expectedNotCompared": unused[:_LONGEST]} if unused else {}
    most = _MOST_EVIDENCE - len(evidence)
    shown = [m for m in sorted(findings, key=_worst_first) if m.words][:most]
    evidence |= {f"model {m.name}": f"{m.finding.value}: {m.words}"[:_LONGEST] for m in shown}
    state, text = _summary(findings, said, counts, omitted)
    if unused and state == StepState.FAILED:
        text = f"{text[: _LONGEST - 300]}; not compared though in expectedChanges: {unused[:200]}"
    return Done(state, text[:_LONGEST], evidence)


def _summary(
    findings: list[ModelFinding], said: Counter[Finding], counts: dict[str, int], omitted: int
) -> tuple[StepState, str]:
    compared, above = counts["compared"], said[Finding.ABOVE]
    missing = said[Finding.OPEN] + omitted
    more = f"; {missing} more could not be compared" if missing else ""
    if above:
        worst = _named(m for m in findings if m.finding is Finding.ABOVE)
        message = f"{above} of {compared} compared models differ by more than allowed"
        return StepState.FAILED, f"{message}: {worst}{more}"
    if missing:
        named = _named(m for m in findings if m.finding is Finding.OPEN)
        named = named or "there are more models than one diff compares"
        message = f"{missing} models could not be compared: {named}"
        return StepState.INCONCLUSIVE, f"{message}; {compared} others are within the limits"
    if compared:
        largest = _named((m for m in findings if m.finding is Finding.WITHIN), most=1)
        most = f", the largest difference: {largest}" if largest else ""
        meant = _named(m for m in findings if m.finding is Finding.EXPECTED)
        also = f"; meant to change: {meant}" if meant else ""
        message = f"{compared} models compared, {said[Finding.EQUAL]} of them the same{most}{also}"
        return StepState.SUCCEEDED, message
    if said[Finding.SKIPPED]:
        without = f"{said[Finding.SKIPPED]} without a grain (onMissingGrain: Skip)"
        return StepState.SKIPPED, f"no model was to be compared but {without}"
    if said[Finding.EXPECTED]:
        meant = _named(m for m in findings if m.finding is Finding.EXPECTED)
        return StepState.SUCCEEDED, f"only expected changes: {meant}"
    return StepState.SUCCEEDED, "no model's data was to be compared"


def _worst_first(model: ModelFinding) -> tuple[int, float, str]:
    return _WORST_FIRST.index(model.finding), -model.weight, model.name


def _named(findings: Iterable[ModelFinding], most: int = _SHOWN) -> str:
    worst = sorted(findings, key=_worst_first)
    said = [f"{m.name} ({m.words})" if m.words else m.name for m in worst]
    return words.shortened(said, most) if most > 1 else "".join(said[:1])
