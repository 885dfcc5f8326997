"""The two tables: what a task kind is, and what a reason means. Each set that the operator asks them
for is written out here once, so that a new row is a decision and not an accident."""

import dataclasses

import pytest

from vulcan_contract.reasons import ABOUT, About, Leaves, Outcome, Reason, Side
from vulcan_contract.result import Result
from vulcan_contract.tasks import TASKS, Reports, TaskKind, Traits


def kinds(trait: str) -> set[TaskKind]:
    return {kind for kind, traits in TASKS.items() if getattr(traits, trait)}


def test_every_kind_and_every_reason_has_its_row() -> None:
    assert set(TASKS) == set(TaskKind)
    assert set(ABOUT) == set(Reason)
    assert {about.side for about in ABOUT.values()} == set(Side)
    assert {about.leaves for about in ABOUT.values()} == set(Leaves)


@pytest.mark.parametrize(
    ("trait", "expected"),
    [
        ("writes", {"apply", "run", "promote", "rollback", "invalidate"}),
        ("may_initialise", {"probe"}),
        ("connects", set(TaskKind) - {"resolve"}),
        ("computes", {"apply", "run", "promote", "rollback"}),
        ("stoppable", {"run", "apply", "promote"}),
        ("needs_decision", {"promote", "apply"}),
        ("needs_source", {"resolve", "plan", "apply"}),
        ("weak_credentials", {"plan", "resolve", "checks", "audit", "diff"}),
    ],
)
def test_a_trait_is_that_of_these_kinds(trait: str, expected: set[str]) -> None:
    assert kinds(trait) == expected
    assert all(kind.traits is TASKS[kind] for kind in TaskKind)
    assert {kind for kind in TaskKind if kind.writes} == kinds("writes")


def test_what_a_success_brings_is_a_field_of_its_result() -> None:
    brought = {kind: traits.brings for kind, traits in TASKS.items() if traits.brings}
    assert brought == {
        "probe": "probe", "resolve": "digest", "plan": "summary", "audit": "work", "checks": "work",
        "diff": "report_sha256",
    }  # fmt: skip
    assert set(brought.values()) <= {f.name for f in dataclasses.fields(Result)}


def test_a_plan_is_reported_when_it_has_changes_a_diff_always() -> None:
    reported = {k: t.reports for k, t in TASKS.items() if t.reports is not Reports.NEVER}
    assert reported == {TaskKind.PLAN: Reports.CHANGES, TaskKind.DIFF: Reports.ALWAYS}


def test_traits_do_not_contradict_each_other() -> None:
    def holds(traits: Traits) -> bool:
        writes_only = traits.computes or traits.stoppable or traits.needs_decision
        return not (traits.writes and traits.weak_credentials) and traits.writes >= writes_only

    assert all(map(holds, TASKS.values()))


SETS = {
    "may be finished in a closed window": (
        lambda about: about.leaves is not Leaves.NOTHING,
        {"EnvironmentUnfinalized", "Lost", "RunnerCrashed", "OutOfMemory", "WorkerKilled",
         "WorkerExited", "DeadlineExceeded", "Cancelled", "Preempted"},
    ),
    "left the views alone": (lambda a: a.leaves is Leaves.BATCHES, {"Cancelled", "Preempted"}),
    "may have touched the target": (
        lambda about: about.leaves is Leaves.MAYBE_VIEWS,
        {"Lost", "RunnerCrashed", "OutOfMemory", "WorkerKilled", "WorkerExited",
         "DeadlineExceeded", "EnvironmentUnfinalized"},
    ),
    "an outage": (
        lambda about: about.side in (Side.DATABASE, Side.SECRET),
        {"WarehouseUnreachable", "StateUnreachable", "AuthFailed", "SecretMissing",
         "SecretKeyMissing"},
    ),
    "the gateway's own": (
        lambda about: about.side in (Side.SETTINGS, Side.STATE, Side.VERSION),
        {"ConfigInvalid", "StateOwnershipConflict", "StateLost", "StateIdentityChanged",
         "StateMigrationRequired", "RunnerOutdated"},
    ),
    "a doubt about the gateway": (
        lambda about: about.side in (Side.DATABASE, Side.STATE),
        {"WarehouseUnreachable", "StateUnreachable", "AuthFailed", "StateIdentityChanged",
         "StateLost", "StateOwnershipConflict"},
    ),
    "both databases answered": (
        lambda about: about.side in (Side.STATE, Side.VERSION),
        {"StateOwnershipConflict", "StateLost", "StateIdentityChanged", "StateMigrationRequired",
         "RunnerOutdated"},
    ),
    "a judgement": (
        lambda about: about.side is Side.DATA,
        {"AuditFailed", "ChecksFailed", "ChecksNotEvaluated"},
    ),
    "a rejection": (
        lambda about: about.side is Side.DATA and about.outcome is Outcome.FAILED,
        {"AuditFailed", "ChecksFailed"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_reasons_comes_out_of_the_columns(name: str) -> None:
    belongs, expected = SETS[name]
    assert {reason for reason, about in ABOUT.items() if belongs(about)} == expected


def test_what_went_well_is_nobodys_fault() -> None:
    good = {reason for reason, about in ABOUT.items() if about.side is Side.NOBODY}
    assert good == {"Succeeded", "NoChanges", "NothingToDo", "AlreadyApplied"}
    assert all(isinstance(about, About) for about in ABOUT.values())
