"""The guard: what it takes for a policy that holds, for one that does not, and for an answer that says nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import environment, gateway
from tests.integration.shell import stub
from tests.world import World
from vulcan_operator import guard, metrics
from vulcan_operator.api import names
from vulcan_operator.config import DEFAULT_ACCOUNT
from vulcan_operator.guard import APPROVALS, CREATED_BY, RULES, Guard
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import POLICIES, POLICY_BINDINGS, Raw
from vulcan_operator.reconcile.reconcile import Planners

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "deploy" / "policies.yaml"
SHIPPED = [d for d in yaml.safe_load_all(FILE.read_text()) if d]
TRIED = (APPROVALS, RULES, CREATED_BY)
EVERY = [d["metadata"]["name"] for d in SHIPPED if d["kind"] == POLICIES.kind]
OTHERWISE = errors.Forbidden('User "op" cannot patch resource "vulcanenvironments"', status=403)
ANOTHER = errors.Forbidden("ValidatingAdmissionPolicy 'of-somebody' denied request: hands off", status=403)
INVALID = errors.Invalid("spec.approvals[0].plan: Invalid value", status=422)


def world(monkeypatch: pytest.MonkeyPatch, **answers: errors.KubeError | None) -> World:
    """A cluster with all of deploy/policies.yaml; answers say what comes instead of a policy's refusal (- as _)."""
    made = World(Planners(stub.plan_gateway, stub.plan_environment)).apply(gateway(), environment()).settle()
    for document in SHIPPED:
        made.kube.put(POLICIES if document["kind"] == POLICIES.kind else POLICY_BINDINGS, document)
    real = made.kube.apply

    async def apply(*args: Any, dry_run: bool = False, **more: Any) -> Raw:
        if not dry_run:
            return await real(*args, **more)
        body = args[3]
        annotations = body["metadata"].get("annotations", {})
        policy = APPROVALS if "spec" in body else CREATED_BY if names.CREATED_BY in annotations else RULES
        refused = errors.Forbidden(
            f"ValidatingAdmissionPolicy '{policy}' with binding 'x' denied request: no", status=403
        )
        answer = answers.get(policy.replace("-", "_"), refused)
        if answer is not None:
            raise answer
        return body  # type: ignore[no-any-return]

    monkeypatch.setattr(made.kube, "apply", apply)
    return made


async def checked(world: World) -> guard.Unguarded:
    """What one check finds. Only the question who it is counts as a write, and stores nothing."""
    before = len(world.kube.writes)
    found = await Guard(world.kube, world.cache, DEFAULT_ACCOUNT, lambda: None).check()
    assert world.kube.writes[before:] == ["create-selfsubjectreviews"]
    return found


async def test_nothing_is_missing_where_all_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await checked(world(monkeypatch)) == ()


@pytest.mark.parametrize("policy", TRIED)
async def test_what_is_let_through_is_missing(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    assert await checked(world(monkeypatch, **{policy.replace("-", "_"): None})) == (
        f"{policy}: this account could do what it must refuse",
    )


@pytest.mark.parametrize("answer", [OTHERWISE, ANOTHER, INVALID], ids=["rights", "another policy", "the schema"])
@pytest.mark.parametrize("policy", TRIED)
async def test_another_refusal_says_nothing(
    monkeypatch: pytest.MonkeyPatch, policy: str, answer: errors.KubeError
) -> None:
    assert await checked(world(monkeypatch, **{policy.replace("-", "_"): answer})) is None


async def test_what_is_known_outweighs_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = await checked(world(monkeypatch, vulcan_approvals=OTHERWISE, vulcan_created_by=None)) or ()
    assert found.startswith(CREATED_BY)


def _edit(kind: str, **change: Any) -> Any:
    def edit(world: World, policy: str) -> None:
        resource = POLICIES if kind == "policy" else POLICY_BINDINGS
        raw = world.kube.objects[resource.plural, "", policy]
        world.kube.put(resource, {**raw, "spec": {**raw["spec"], **change}})

    return edit


def _renamed(world: World, policy: str) -> None:
    """As an overlay with a namePrefix does it."""
    for resource, also in ((POLICIES, {}), (POLICY_BINDINGS, {"policyName": f"acme-{policy}"})):
        raw = world.kube.objects[resource.plural, "", policy]
        world.kube.remove(resource, "", policy)
        world.kube.put(resource, {"metadata": {"name": f"acme-{policy}"}, "spec": {**raw["spec"], **also}})


NARROW = {"namespaceSelector": {"matchLabels": {"a": "b"}}}


@pytest.mark.parametrize("policy", EVERY)
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda w, p: w.kube.remove(POLICIES, "", p), "it is not installed", id="no policy"),
        pytest.param(lambda w, p: w.kube.remove(POLICY_BINDINGS, "", p), "it has no binding", id="no binding"),
        pytest.param(_edit("policy", failurePolicy="Ignore"), "spec.failurePolicy is not", id="open when it fails"),
        pytest.param(
            _edit("policy", matchConstraints={"excludeResourceRules": [{"resources": ["*"]}]}),
            "spec.matchConstraints.resourceRules is not", id="with exceptions",
        ),
        pytest.param(
            _edit("policy", validations=[{"expression": "true"}]),
            "spec.validations[0].expression is not", id="cut down to nothing",
        ),
        pytest.param(
            _edit("policy", matchConditions=[{"name": "never", "expression": "false"}]),
            "spec.matchConditions", id="asked about nothing",
        ),
        pytest.param(
            _edit("binding", validationActions=["Audit"]),
            "its binding's spec.validationActions[0] is not", id="only audits",
        ),
        pytest.param(
            _edit("binding", matchResources=NARROW),
            "its binding's spec.matchResources is not", id="narrowed",
        ),
        pytest.param(_edit("binding", policyName="another"), "it has no binding", id="binds another"),
    ],
)  # fmt: skip
async def test_what_is_not_as_shipped_is_named(
    monkeypatch: pytest.MonkeyPatch, policy: str, spoil: Any, says: str
) -> None:
    made = world(monkeypatch)
    spoil(made, policy)
    (found,) = await checked(made) or ()
    assert found.startswith(f"{policy}: {says}")


async def test_rules_of_an_older_release_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The case that happens: a new operator, and policies.yaml was not applied again."""
    made = world(monkeypatch)
    raw = made.kube.objects[POLICIES.plural, "", RULES]
    _edit("policy", validations=raw["spec"]["validations"][:-1])(made, RULES)
    last = len(raw["spec"]["validations"]) - 1
    assert await checked(made) == (f"{RULES}: spec.validations[{last}] is not that of this release",)


@pytest.mark.parametrize("policy", EVERY)
async def test_another_name_by_an_overlay_is_no_difference(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    made = world(monkeypatch)
    _renamed(made, policy)
    assert await checked(made) == ()


async def test_a_second_binding_may_be_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(monkeypatch)
    spec = {"policyName": RULES, "validationActions": ["Warn"], "matchResources": NARROW}
    made.kube.put(POLICY_BINDINGS, {"metadata": {"name": "a-warning"}, "spec": spec})
    assert await checked(made) == ()


async def test_defaults_of_the_api_server_narrow_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(monkeypatch)
    everything = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    _edit("binding", matchResources=everything)(made, "vulcan-gateway-grants")
    assert await checked(made) == ()


async def test_another_account_is_looked_for_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made, account = world(monkeypatch), "system:serviceaccount:a:b"
    checks = Guard(made.kube, made.cache, account, lambda: None)
    found = str(await checks.check())
    assert "vulcan-operator-account: spec.matchConditions[operator].expression is not that of this release" in found
    assert "vulcan-operator-images: spec.matchConditions[operator].expression is not that" in found
    for document in yaml.safe_load_all(FILE.read_text().replace(DEFAULT_ACCOUNT, account)):
        made.kube.put(POLICIES if document["kind"] == POLICIES.kind else POLICY_BINDINGS, document)
    assert await checks.check() == (
        "vulcan-operator-images: its binding's spec.paramRef.namespace is not that of this release",
    )
    images = {"name": "vulcan-runner-images", "namespace": "a", "parameterNotFoundAction": "Allow"}
    _edit("binding", paramRef=images)(made, "vulcan-operator-images")
    assert await checks.check() == ()


def test_the_metric_names_what_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world(monkeypatch)
    holder = Guard(w.kube, w.cache, "op", lambda: None)

    def named() -> list[str]:
        return [s.labels["policy"] for family in metrics.UNGUARDED.collect() for s in family.samples]

    holder.accept((f"{RULES}: spec.validations[3] is not that of this release", f"{APPROVALS}: it has no binding"))
    assert named() == [RULES, APPROVALS]
    holder.accept(())
    assert named() == []


async def test_without_an_environment_there_is_nothing_to_try_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(monkeypatch).delete("venv/prod").settle()
    found = Guard(made.kube, made.cache, "op", lambda: None)
    assert await found.check() is None
    assert found._idle


async def test_a_verdict_is_given_up_after_three_checks_that_said_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    w, said = world(monkeypatch), []
    holder = Guard(w.kube, w.cache, "op", lambda: said.append(holder.unguarded))
    for found in ((), None, None, (), None, None):
        holder.accept(found)
    assert holder.unguarded == ()
    holder.accept(None)
    assert holder.unguarded is None
    assert said == [(), None]


def test_everything_that_is_tried_is_shipped() -> None:
    assert {*TRIED} <= {*EVERY}
