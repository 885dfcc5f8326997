"""The data diff gate of a promotion: a verdict from what the runner has counted. Pure; used by the promotion planner.

Within one system one task `diff` compares, and `judge` judges its report. Across systems each side is counted by a task of
its own; while `ends_to_ask` names models, the side that is ahead is counted again up to these ends, then `compare` judges
both reports. A model that could not be compared is never taken for equal: where the gate is Required, it asks a human.
"""

import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from vulcan_contract.codec import ContractError
from vulcan_contract.diff_report import MAX_UNPACKED, DiffReport, ModelStatistics
from vulcan_operator.api.promotion import DataDiffGate
from vulcan_operator.plan.promotions import data_diff_models as models
from vulcan_operator.plan.promotions.data_diff_models import Looked, Say
from vulcan_operator.plan.promotions.moves import FAILED, INCONCLUSIVE, PASSED, SKIPPED, Done

_MOST_EVIDENCE = 32
_SHOWN = 3
_LONGEST = 900
_GZIP = 31  # zlib's word for it
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
        return _by_mode(gate, Done(INCONCLUSIVE, _UNREADABLE))
    looked = [models.rows(gate, model) for model in report.models]
    counts = {
        "identical": report.identical, "leftAlone": report.left_alone, "added": report.added, "removed": report.removed,
    }  # fmt: skip
    return _by_mode(gate, _verdict(gate, looked, counts, report.omitted))


def compare(gate: DataDiffGate, source: DiffReport | None, target: DiffReport | None) -> Done:
    """Across systems."""
    if source is None or target is None or not (source.statistics and target.statistics):
        return _by_mode(gate, Done(INCONCLUSIVE, _UNREADABLE))
    if not source.plan_id:
        return _by_mode(gate, Done(INCONCLUSIVE, f"{source.environment} is not in the state of the source's system"))
    after, before = _by_name(source), _by_name(target)
    both = sorted(after.keys() & before.keys())
    if after and before and not both:
        return _by_mode(gate, Done(INCONCLUSIVE, "no model is there on both sides"))
    alone = {n for n in both if gate.models != "All" and _is_other_code(before[n], after[n])}
    looked = [models.statistics(gate, before[n], after[n]) for n in both if n not in alone]
    counts = {"leftAlone": len(alone), "added": len(after) - len(both), "removed": len(before) - len(both)}
    return _by_mode(gate, _verdict(gate, looked, counts, max(source.omitted, target.omitted)))


def ends_to_ask(source: DiffReport | None, target: DiffReport | None) -> dict[str, str]:
    """Models whose two sides were counted up to different times, and the earlier of these."""
    if source is None or target is None:
        return {}
    after, before = _by_name(source), _by_name(target)
    pairs = ((name, before[name], after[name]) for name in sorted(after.keys() & before.keys()))
    return {
        name: min(one.end, other.end, key=datetime.fromisoformat)
        for name, one, other in pairs
        if one.restricted and other.restricted and not (one.why or other.why) and one.end != other.end
    }


def _by_name(report: DiffReport) -> dict[str, ModelStatistics]:
    return {model.name: model for model in report.counted}


def _is_other_code(before: ModelStatistics, after: ModelStatistics) -> bool:
    return bool(before.code and after.code) and before.code != after.code


def _by_mode(gate: DataDiffGate, judged: Done) -> Done:
    """Where the gate is Optional, a no is shown only."""
    if gate.mode == "Skip":
        return Done(SKIPPED, "gates.dataDiff.mode: Skip")
    if gate.mode == "Required" or judged.state not in (FAILED, INCONCLUSIVE):
        return judged
    return Done(SKIPPED, f"gates.dataDiff is Optional: {judged.message}", judged.evidence)


def _verdict(gate: DataDiffGate, looked: list[Looked], counts: dict[str, int], omitted: int) -> Done:
    said = Counter(model.say for model in looked)
    counts = {
        "compared": said[Say.EQUAL] + said[Say.WITHIN] + said[Say.ABOVE], "equal": said[Say.EQUAL],
        "aboveLimits": said[Say.ABOVE], "notCompared": said[Say.OPEN], "expected": said[Say.EXPECTED],
        "skipped": said[Say.SKIPPED], "omitted": omitted,
        "byRowCountsOnly": sum(m.by_counts for m in looked if m.say is not Say.SKIPPED), **counts,
    }  # fmt: skip
    evidence = {key: str(count) for key, count in counts.items() if count or key == "compared"}
    # A name that is misspelt would otherwise only show as the model that it does not excuse.
    unused = ", ".join(sorted(set(gate.expected_changes) - {model.name for model in looked}))
    evidence |= {"expectedNotCompared": unused[:_LONGEST]} if unused else {}
    shown = [m for m in sorted(looked, key=_worst_first) if m.words][: _MOST_EVIDENCE - len(evidence)]
    evidence |= {f"model {m.name}": f"{m.say.value}: {m.words}"[:_LONGEST] for m in shown}
    state, words = _words(looked, said, counts, omitted)
    if unused and state == FAILED:
        words = f"{words[: _LONGEST - 300]}; not compared though in expectedChanges: {unused[:200]}"
    return Done(state, words[:_LONGEST], evidence)


def _words(looked: list[Looked], said: Counter[Say], counts: dict[str, int], omitted: int) -> tuple[str, str]:
    compared = counts["compared"]
    missing = said[Say.OPEN] + omitted
    more = f"; {missing} more could not be compared" if missing else ""
    if said[Say.ABOVE]:
        worst = _named(m for m in looked if m.say is Say.ABOVE)
        return FAILED, f"{said[Say.ABOVE]} of {compared} compared models differ by more than allowed: {worst}{more}"
    if missing:
        named = _named(m for m in looked if m.say is Say.OPEN) or "there are more models than one diff compares"
        return INCONCLUSIVE, f"{missing} models could not be compared: {named}; {compared} others are within the limits"
    if compared:
        largest = _named((m for m in looked if m.say is Say.WITHIN), most=1)
        most = f", the largest difference: {largest}" if largest else ""
        meant = _named(m for m in looked if m.say is Say.EXPECTED)
        also = f"; meant to change: {meant}" if meant else ""
        return PASSED, f"{compared} models compared, {said[Say.EQUAL]} of them the same{most}{also}"
    if said[Say.SKIPPED]:
        return SKIPPED, f"no model was to be compared but {said[Say.SKIPPED]} without a grain (onMissingGrain: Skip)"
    if said[Say.EXPECTED]:
        return PASSED, f"only expected changes: {_named(m for m in looked if m.say is Say.EXPECTED)}"
    return PASSED, "no model's data was to be compared"


def _worst_first(model: Looked) -> tuple[int, float, str]:
    order = (Say.ABOVE, Say.OPEN, Say.EXPECTED, Say.WITHIN, Say.SKIPPED, Say.EQUAL)
    return order.index(model.say), -model.weight, model.name


def _named(looked: Iterable[Looked], most: int = _SHOWN) -> str:
    worst = sorted(looked, key=_worst_first)
    more = f" and {len(worst) - most} more" if len(worst) > most and most > 1 else ""
    return ", ".join(f"{m.name} ({m.words})" if m.words else m.name for m in worst[:most]) + more
