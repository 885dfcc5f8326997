"""The guard: what it takes for a policy that holds, for one that does not, and for an answer that says nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import environment, gateway
from tests.integration.shell import stub
from tests.world import World
from vulcan_operator import guard
from vulcan_operator.api import names
from vulcan_operator.guard import APPROVALS, CREATED_BY, READ, RULES, Guard
from vulcan_operator.kube import errors
from vulcan_operator.kube.resources import POLICIES, POLICY_BINDINGS, Raw
from vulcan_operator.reconcile.reconcile import Planners

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = [d for d in yaml.safe_load_all((ROOT / "deploy" / "policies.yaml").read_text()) if d]
TRIED = (APPROVALS, RULES, CREATED_BY)
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
    found = await Guard(world.kube, world.cache, "op", lambda: None).check()
    assert world.kube.writes[before:] == ["create-selfsubjectreviews"]
    return found


async def test_nothing_is_missing_where_all_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await checked(world(monkeypatch)) == ()


@pytest.mark.parametrize("policy", TRIED)
async def test_what_is_let_through_is_missing(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    assert await checked(world(monkeypatch, **{policy.replace("-", "_"): None})) == (policy,)


@pytest.mark.parametrize("answer", [OTHERWISE, ANOTHER, INVALID], ids=["rights", "another policy", "the schema"])
@pytest.mark.parametrize("policy", TRIED)
async def test_another_refusal_says_nothing(
    monkeypatch: pytest.MonkeyPatch, policy: str, answer: errors.KubeError
) -> None:
    assert await checked(world(monkeypatch, **{policy.replace("-", "_"): answer})) is None


async def test_what_is_known_outweighs_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await checked(world(monkeypatch, vulcan_approvals=OTHERWISE, vulcan_created_by=None)) == (CREATED_BY,)


def _edit(kind: str, **change: Any) -> Any:
    def edit(world: World, policy: str) -> None:
        resource = POLICIES if kind == "policy" else POLICY_BINDINGS
        raw = world.kube.objects[resource.plural, "", policy]
        world.kube.put(resource, {**raw, "spec": {**raw["spec"], **change}})

    return edit


@pytest.mark.parametrize("policy", READ)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda w, p: w.kube.remove(POLICIES, "", p), id="no policy"),
        pytest.param(lambda w, p: w.kube.remove(POLICY_BINDINGS, "", p), id="no binding"),
        pytest.param(_edit("policy", failurePolicy="Ignore"), id="open when it fails"),
        pytest.param(_edit("policy", matchConstraints={"excludeResourceRules": [{}]}), id="with exceptions"),
        pytest.param(_edit("binding", validationActions=["Audit"]), id="only audits"),
        pytest.param(
            _edit("binding", matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}}), id="narrowed"
        ),
        pytest.param(_edit("binding", policyName="another"), id="binds another"),
    ],
)
async def test_what_cannot_be_tried_is_read(monkeypatch: pytest.MonkeyPatch, policy: str, spoil: Any) -> None:
    made = world(monkeypatch)
    spoil(made, policy)
    assert await checked(made) == (policy,)


async def test_defaults_of_the_api_server_narrow_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(monkeypatch)
    everything = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    _edit("binding", matchResources=everything)(made, READ[0])
    assert await checked(made) == ()


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


def test_everything_that_is_read_is_shipped() -> None:
    shipped = {d["metadata"]["name"] for d in SHIPPED}
    protect_no_approval = {"vulcan-operator-account", "vulcan-gateway-options"}
    assert {*TRIED, *READ} == shipped - protect_no_approval
