"""`vulcan-operator explain`: prints the Plan for objects from files, without a cluster.

Called by `cli`. Objects go into the cache as watch events would put them there; the planners
decide, and their live reads are answered from the same files. Nothing is sent to any server and
nothing is carried out.
"""

import asyncio
import datetime as dt
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import yaml

from vulcan_contract import times
from vulcan_operator.api import names
from vulcan_operator.cluster import views
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.cluster.places import Custom
from vulcan_operator.cluster.wake import Intake
from vulcan_operator.files import Files
from vulcan_operator.kube.clock import Clock
from vulcan_operator.kube.resources import WATCHED, Raw
from vulcan_operator.plan.core import actions as act
from vulcan_operator.plan.core.actions import Action, Key, Kind
from vulcan_operator.plan.core.needs import Live
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.reconcile.observe import Observer
from vulcan_operator.reconcile.reads import Reader
from vulcan_operator.reconcile.reconcile import AnyPlan, Planners, decide

_SUMMARY = ("conditions.Ready", "conditions.Reconciling", "conditions.Stalled")


@dataclass(frozen=True)
class FixedClock(Clock):
    """A clock that stands still."""

    moment: dt.datetime

    def now(self) -> dt.datetime:
        return self.moment


@dataclass(frozen=True)
class Explainer:
    """Plans the objects of some files at one moment."""

    files: Files
    settings: Settings
    now: dt.datetime
    manifests: bool = False

    def lines(self) -> Iterator[str]:
        """Everything that is to be printed."""
        cache = Cache()
        intake = Intake(cache, self.settings.install, wake=lambda key: None)
        for (resource, _, _), raw in self.files.objects.items():
            if resource in WATCHED:
                intake.event(resource, raw)
        reader = Reader(self.files, cache, intake, FixedClock(self.now))
        # Whether the cluster has the admission policies cannot be known here: that is assumed.
        observer = Observer(cache, self.settings, unguarded=lambda: ())
        for key in cache.all_keys():
            yield f"{key.kind} {key}"
            yield from (f"  {line}" for line in self._object(observer, reader, key))
        if not cache.all_keys():
            kinds = ", ".join(sorted(Kind))
            yield f"nothing to plan: the files have no object of the kinds {kinds}"
        yield from (f"ignored: {what}" for what in self.files.ignored)

    def _object(self, observer: Observer, reader: Reader, key: Key) -> Iterator[str]:
        found = observer.cache.custom(key)
        assert found is not None
        if isinstance(found, views.Unparsable):
            yield f"Ready: False, SpecInvalid: {found.error}"
            return
        self.files.missing.clear()
        plan = asyncio.run(_plan(observer, reader, key, found))
        before, after = _fields(found.status.to_json()), _fields(plan.status.to_json())
        for name in _SUMMARY:
            was = before.get(name, "not set").partition(":")[0]
            said = after.get(name, "not set")
            changed = f" (was: {was})" if before.get(name) != said else ""
            yield f"{name.removeprefix('conditions.')}: {said}{changed}"
        yield from self._actions("before the status is written", plan.prepare)
        yield from _changes(before, after)
        yield from self._actions("after the status is written", plan.actions)
        yield from (f"event: {note.reason}: {note.message}" for note in plan.notes)
        yield f"looks again: {_again(plan, self.now)}"
        for what in dict.fromkeys(self.files.missing):
            yield f"not known: {what} is in no file and counts as absent"

    def _actions(self, when: str, actions: Sequence[Action]) -> Iterator[str]:
        if not actions:
            return
        yield f"{when}:"
        for action in actions:
            yield f"  {describe(action)}"
            if self.manifests and isinstance(action, act.CreateJob | act.WriteConfigMap):
                text = yaml.safe_dump(dict(action.manifest), sort_keys=False, allow_unicode=True)
                yield from (f"    {line}" for line in text.splitlines())


async def _plan(observer: Observer, reader: Reader, key: Key, found: Custom) -> AnyPlan:
    """Plan one pass without its writes; if the slot is taken, the planner decides again."""
    plan, live = await decide(Planners(), observer, reader, key, found, Live())
    for action in plan.actions:
        if isinstance(action, act.TakeSlot):
            need = act.ReadSlot(action.namespace, action.gateway)
            live = await reader.read(found, frozenset([need]), live)
            holder = live.slot(action.namespace, action.gateway)
            if holder.live and holder.holder != action.job:
                return (await decide(Planners(), observer, reader, key, found, live))[0]
    return plan


def describe(action: Action) -> str:
    """An action as one readable line."""
    match action:
        case act.CreateJob():
            about = action.manifest["metadata"]
            labels, why = about["labels"], about.get("annotations", {}).get(names.WHY)
            said = f"create Job {action.namespace}/{action.name}: task {labels[names.TASK]}"
            said += f", inputs {labels[names.INPUTS]}, attempt {labels[names.ATTEMPT]}"
            return f"{said}; why: {why}" if why else said
        case act.DeleteJob():
            return f"delete Job {action.namespace}/{action.name} and its pods"
        case act.StopPods():
            job = f"{action.namespace}/{action.job}"
            return f"stop the pods of Job {job}, so that its runner reports"
        case act.KeepJob():
            job = f"{action.namespace}/{action.name}"
            return f"delete Job {job} in {action.seconds} s: its result is recorded"
        case act.WriteConfigMap(manifest):
            about = manifest["metadata"]
            return f"create ConfigMap {about['namespace']}/{about['name']}"
        case act.DeleteConfigMap():
            return f"delete ConfigMap {action.namespace}/{action.name}"
        case act.SetFinalizer(key, _, finalizers):
            return f"set the finalizers of {key.kind} {key} to [{', '.join(finalizers)}]"
        case act.DeleteObject(key, _):
            return f"delete {key.kind} {key}"
        case act.TakeSlot():
            gateway = f"{action.namespace}/{action.gateway}"
            return f"take the writer slot of VulcanGateway {gateway} for Job {action.job}"
        case act.ReleaseSlot():
            return f"release the writer slot of VulcanGateway {action.namespace}/{action.gateway}"
        case _:
            assert_never(action)


def _fields(value: Any, path: str = "") -> dict[str, str]:
    """Every leaf of a status by its path; a condition is one leaf."""
    if isinstance(value, list):
        if path == "conditions":
            return {f"{path}.{c['type']}": _condition(c) for c in value}
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, Mapping):
        return {path: str(value)} if value != "" else {}
    leaves = (_fields(item, f"{path}.{name}" if path else name) for name, item in value.items())
    return {name: text for found in leaves for name, text in found.items()}


def _condition(raw: Raw) -> str:
    said = f"{raw['status']}, {raw['reason']}"
    return f"{said}: {raw['message']}" if raw.get("message") else said


def _changes(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    changed = [name for name in (before | after) if before.get(name) != after.get(name)]
    yield "changed status fields:" if changed else "status: unchanged, nothing is written"
    for name in changed:
        if name in _SUMMARY:
            continue
        said = textwrap.shorten(after.get(name, "removed"), 100, placeholder=" …")
        if name in before:
            said = f"{textwrap.shorten(before[name], 100, placeholder=' …')} -> {said}"
        yield f"  {name}: {said}"


def _again(plan: AnyPlan, now: dt.datetime) -> str:
    if plan.look_again is None:
        return "when something that it reads changes"
    wait = dt.timedelta(seconds=max(0, round((plan.look_again - now).total_seconds())))
    return f"at {times.to_second(plan.look_again)} (in {wait}), or earlier on a change"
