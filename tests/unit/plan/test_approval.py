"""The token of a plan, who must decide, and what was decided."""

from typing import Any

import pytest

from tests.unit.plan.seen_objects import env, plan
from vulcan_operator.api.conditions import Why
from vulcan_operator.api.environment_status import ReportRef
from vulcan_operator.plan.rules import approval
from vulcan_operator.plan.rules.approval import Say

DIGEST = "sha256:" + "a" * 64


def token(environment: str = "e-1", change: dict[str, Any] | None = None, **spec: Any) -> str:
    return approval.token(environment, plan().but(**(change or {})), env(**spec).spec)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(token("e-2"), id="another environment"),
        pytest.param(token(change={"number": 2}), id="another plan"),
        pytest.param(token(change={"source_digest": "other"}), id="other files"),
        pytest.param(token(change={"revision": "other"}), id="another commit"),
        pytest.param(token(change={"image": "other"}), id="another image"),
        pytest.param(token(change={"inputs": "other"}), id="other planning fields"),
        pytest.param(token(change={"operations": ["fix"]}), id="a one-shot"),
        pytest.param(
            token(change={"report_ref": ReportRef(name="r", sha256="f" * 64)}), id="another report"
        ),
        pytest.param(token(change={"target": "t2"}), id="another target, as its Job claims"),
        pytest.param(token(change={"base": "b2"}), id="another base, as its Job claims"),
        pytest.param(token(plan={"approval": {"mode": "Always"}}), id="another mode"),
        pytest.param(token(plan={"approval": {"count": 2}}), id="another count"),
        pytest.param(token(plan={"approval": {"excludeAuthor": True}}), id="not by the author"),
        pytest.param(token(plan={"limits": {"maxRebuiltModels": 3}}), id="another limit"),
        pytest.param(token(checks={"audits": False}), id="other checks"),
    ],
)
def test_a_token_is_for_one_change_from_one_state_under_one_rule(other: str) -> None:
    assert other != token()


@pytest.mark.parametrize(
    "spec",
    [
        {"suspend": True},
        {"retry": {"limit": 1}},
        {"approvals": [{"plan": DIGEST, "by": "a"}]},
        {"ttl": "1h"},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_a_token_does_not_change_with_what_is_no_gate(spec: dict[str, Any]) -> None:
    assert token(**spec) == token()


def test_a_token_does_not_change_with_what_is_decided_on_the_plan() -> None:
    decided = {"state": "Rejected", "why": "w", "approved_by": ["a"], "changed": 2, "digest": "d"}
    assert token(change=decided) == token()


def test_a_plan_of_an_earlier_release_is_asked_about_again_and_says_why() -> None:
    asks = env(plan={"approval": {"mode": "Always"}}).spec
    decision = approval.decide(plan().but(number=0), asks, None)
    assert decision.say is Say.WAIT and "earlier release" in decision.why
    assert (
        approval.decide(
            plan().but(number=0), env(plan={"approval": {"mode": "Never"}}).spec, None
        ).say
        is Say.GO
    )


def words(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"plan": DIGEST, "by": by, "decision": decision} for by, decision in said]


@pytest.mark.parametrize(
    ("spec", "approvals", "say", "by"),
    [
        pytest.param({"mode": "Never"}, [], Say.GO, (), id="Never asks nobody"),
        pytest.param({"mode": "Always"}, [], Say.WAIT, (), id="Always waits"),
        pytest.param(
            {"mode": "Always"}, [("a", "Approve")], Say.GO, ("a",), id="one approval is enough"
        ),
        pytest.param(
            {"mode": "Always", "count": 2},
            [("a", "Approve")],
            Say.WAIT,
            ("a",),
            id="one of two is not",
        ),
        pytest.param(
            {"mode": "Always", "count": 2},
            [("b", "Approve"), ("a", "Approve")],
            Say.GO,
            ("a", "b"),
            id="two",
        ),
        pytest.param(
            {"mode": "Always"},
            [("a", "Approve"), ("b", "Reject")],
            Say.NO,
            ("b",),
            id="one no is a no",
        ),
        pytest.param(
            {"mode": "Never"},
            [("b", "Reject")],
            Say.NO,
            ("b",),
            id="a no counts although nobody was asked",
        ),
        pytest.param(
            {"mode": "Never"}, [("a", "Approve")], Say.GO, (), id="an approval that was not needed"
        ),
    ],
)
def test_decisions(
    spec: dict[str, Any], approvals: list[tuple[str, str]], say: Say, by: tuple[str, ...]
) -> None:
    decision = approval.decide(
        plan(DIGEST), env(plan={"approval": spec}, approvals=words(*approvals)).spec, None
    )
    assert (decision.say, decision.by) == (say, by)


BY_OTHERS = {"mode": "Always", "excludeAuthor": True}


@pytest.mark.parametrize(
    ("spec", "author", "approvals", "say", "why"),
    [
        pytest.param(BY_OTHERS, "a", [("a", "Approve")], Say.WAIT, "by others than a, who created it", id="the author"),
        pytest.param(BY_OTHERS, "a", [("b", "Approve")], Say.GO, "approved by b", id="somebody else"),
        pytest.param(BY_OTHERS, "a", [("a", "Approve"), ("b", "Approve")], Say.GO, "approved by b", id="both"),
        pytest.param(
            BY_OTHERS | {"count": 2}, "a", [("a", "Approve"), ("b", "Approve")], Say.WAIT, "1 approval missing, by others",
            id="two others are wanted",
        ),
        pytest.param(BY_OTHERS, "a", [("a", "Reject"), ("b", "Approve")], Say.NO, "a rejected", id="the author may say no"),
        pytest.param(BY_OTHERS, None, [("b", "Approve")], Say.WAIT, "nobody knows who created", id="it could be anybody"),
        pytest.param(BY_OTHERS, None, [("b", "Reject")], Say.NO, "b rejected", id="a no is a no, whoever created it"),
        pytest.param(BY_OTHERS | {"mode": "Never"}, None, [], Say.GO, "not needed", id="nobody is asked"),
        pytest.param({"mode": "Always"}, "a", [("a", "Approve")], Say.GO, "approved by a", id="the rule is off"),
    ],
)  # fmt: skip
def test_who_created_it_is_not_who_approves_it(
    spec: dict[str, Any], author: str | None, approvals: list[tuple[str, str]], say: Say, why: str
) -> None:
    decision = approval.decide(
        plan(DIGEST), env(plan={"approval": spec}, approvals=words(*approvals)).spec, author
    )
    assert decision.say is say and why in decision.why
    unknown = say is Say.WAIT and author is None
    assert decision.reason == (Why.AUTHOR_UNKNOWN if unknown else Why.AWAITING)


@pytest.mark.parametrize(("annotation", "author"), [({}, None), ({"vulcan.dev/created-by": ""}, None),
                                                     ({"vulcan.dev/created-by": "a"}, "a")])  # fmt: skip
def test_the_author_is_who_the_annotation_names(
    annotation: dict[str, str], author: str | None
) -> None:
    metadata = env().metadata.but(annotations=annotation)
    assert approval.author(metadata) == author


@pytest.mark.parametrize("comment", ["", "wrong week"])
def test_a_rejection_says_who_and_why(comment: str) -> None:
    said = [
        {
            "plan": DIGEST,
            "by": "b",
            "decision": "Reject",
            **({"comment": comment} if comment else {}),
        }
    ]
    decision = approval.decide(plan(DIGEST), env(approvals=said).spec, None)
    assert decision.why == "b rejected it" + (f": {comment}" if comment else "")


def test_a_digest_may_be_written_without_its_prefix() -> None:
    spec = env(
        plan={"approval": {"mode": "Always"}}, approvals=[{"plan": DIGEST[7:], "by": "a"}]
    ).spec
    assert approval.decide(plan(DIGEST), spec, None).say is Say.GO


@pytest.mark.parametrize(
    ("risks", "summary", "asks"),
    [
        pytest.param(None, {"breaking": 1}, True, id="a breaking change is a risk by default"),
        pytest.param(None, {"destructive": ["s.a"]}, True, id="so is a destructive one"),
        pytest.param(None, {"removed": 1, "total_models": 99}, True, id="and a removed model"),
        pytest.param(None, {"backfill_intervals": 9}, False, id="a backfill is none by default"),
        pytest.param(["Backfill"], {"backfill_intervals": 9}, True, id="but where it is listed"),
        pytest.param(["Backfill"], {"breaking": 1}, False, id="only what is listed"),
        pytest.param(
            None, {"directly_modified": 3}, False, id="a change without risk goes through"
        ),
    ],
)
def test_on_risk(risks: list[str] | None, summary: dict[str, Any], asks: bool) -> None:
    policy: dict[str, Any] = {"mode": "OnRisk", **({"risks": risks} if risks else {})}
    decision = approval.decide(plan(**summary), env(plan={"approval": policy}).spec, None)
    assert (decision.say is Say.WAIT) == asks


@pytest.mark.parametrize(
    ("limits", "summary", "why"),
    [
        pytest.param({}, {"backfill_intervals": 5000}, "", id="as many intervals as allowed"),
        pytest.param(
            {}, {"backfill_intervals": 5001}, "maxBackfillIntervals: 5001 above 5000", id="one more"
        ),
        pytest.param({}, {"removed": 1, "total_models": 4}, "", id="a fifth of the models"),
        pytest.param(
            {},
            {"removed": 205, "total_models": 795},
            "maxRemovedPercent: 20.5 above 20",
            id="half a percent more",
        ),
        pytest.param(
            {},
            {"removed": 1, "added": 4, "total_models": 4},
            "maxRemovedPercent: 100.0 above 20",
            id="all, and others came",
        ),
        pytest.param(
            {"maxRemovedPercent": 0},
            {"removed": 1, "total_models": 999},
            "maxRemovedPercent: 0.1 above 0",
            id="none may go",
        ),
        pytest.param(
            {"maxRebuiltModels": 2},
            {"rebuilt_models": 3},
            "maxRebuiltModels: 3 above 2",
            id="rebuilt models",
        ),
        pytest.param(
            {"maxHistory": "400d"},
            {"history_days": 401},
            "maxHistory in days: 401 above 400",
            id="history",
        ),
        pytest.param(
            {}, {"rebuilt_models": 10**6, "history_days": 10**6}, "", id="what has no limit"
        ),
    ],
)
def test_limits_ask_whatever_the_mode(
    limits: dict[str, Any], summary: dict[str, Any], why: str
) -> None:
    spec = env(plan={"approval": {"mode": "Never"}, "limits": limits}).spec
    decision = approval.decide(plan(**summary), spec, None)
    assert (decision.say is Say.WAIT) == bool(why) and why in decision.why


def test_an_environment_that_was_there_before_the_operator_asks_once() -> None:
    assert "not made by the operator" in approval.decide(plan(adopted=True), env().spec, None).why
