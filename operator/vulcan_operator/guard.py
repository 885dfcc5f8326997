"""Checks whether the API server refuses what deploy/policies.yaml is to refuse.

Run by `term`: at its start, hourly, and with the first environment there is. All policies and
bindings are read and compared with those of this release (`policies`). What this account may write,
an environment, is also changed as a dry run in ways that one policy each must refuse: that a policy
is stored does not yet mean that it is asked. The verdict goes into `EnvironmentSeen.unguarded`;
whatever is protected waits until nothing is missing. A check never stores anything.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from vulcan_operator import metrics, policies
from vulcan_operator.api import API_VERSION, names
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.api.policy import has_room
from vulcan_operator.cluster.cache import Cache
from vulcan_operator.kube import errors, resources
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.resources import ENVIRONMENTS, USER_REVIEWS, Raw, Resource
from vulcan_operator.plan.core.actions import Key, Kind

_log = logging.getLogger(__name__)
_EVERY = 3600.0
_AFTER_TROUBLE = 10.0
_AFTER_DOUBT = 300.0
_DOUBTS = 3
_NO_PLAN = "0" * 64  # the digest of no plan
MANAGER = "vulcan-approval-selfcheck"

APPROVALS, RULES, CREATED_BY = "vulcan-approvals", "vulcan-environment-rules", "vulcan-created-by"
_LET_THROUGH = "this account could do what it must refuse"
Unguarded = tuple[str, ...] | None
"""Policies that do not hold, each with what is wrong (`name: …`); None while that is not known."""


class Guard:
    """Checks regularly, and holds the verdict; `changed` is called when it differs."""

    def __init__(self, kube: Kube, cache: Cache, account: str, changed: Callable[[], None]) -> None:
        self._kube, self._cache, self._account, self._changed = kube, cache, account, changed
        self._news = asyncio.Event()
        self._idle = False  # there was no environment to try it on
        self._doubts = 0  # checks in a row that said nothing
        self.unguarded: Unguarded = None

    def notice(self, key: Key) -> None:
        """Check at once if this is the first environment that it can be tried on."""
        if self._idle and key.kind is Kind.ENVIRONMENT:
            self._news.set()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            pause, self._idle = _EVERY, False
            try:
                found = await self.check()
                self.accept(found)
                pause = _EVERY if found == () or self._idle else _AFTER_DOUBT
            except errors.KubeError as error:
                _log.warning("could not check whether approvals are protected: %s", error.message)
                pause = _AFTER_TROUBLE
            except errors.NotLeader:
                pause = _AFTER_TROUBLE  # the term ends, or the Lease is renewed late
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
            self._news.clear()

    async def check(self) -> Unguarded:
        """Return what is missing; known gaps outweigh what could not be told."""
        every = self._cache.all_environments()
        living = [e for e in every if e.metadata.deletion_timestamp is None]
        found = [e for e in living if has_room(e.spec.approvals)] or living
        self._idle = not found
        if not found:
            return None
        found.sort(key=lambda e: (not e.status.protected, e.metadata.namespace, e.metadata.name))
        trials = (await self._trials()).items()
        refused = {name: await self._is_refused(found[0], name, body) for name, body in trials}
        wrong = {name: _LET_THROUGH for name, answer in refused.items() if answer is False}
        wrong |= await self._differences()
        missing = tuple(f"{name}: {what}" for name, what in wrong.items())
        if missing:
            _log.warning(
                "approvals are not protected (%s). Apply deploy/policies.yaml of this release, and"
                " do not run the operator as an administrator; whatever is protected waits until"
                " then",
                "; ".join(missing),
            )
        return missing if missing or None not in refused.values() else None

    async def _trials(self) -> dict[str, Raw]:
        """Return by policy a change that it alone is to refuse."""
        approval = {"plan": _NO_PLAN, "by": await self._me(), "decision": "Approve"}
        return {
            APPROVALS: {"spec": {"approvals": [approval]}},
            RULES: {"metadata": {"annotations": {names.HOLD_LIFTED: MANAGER}}},
            CREATED_BY: {"metadata": {"annotations": {names.CREATED_BY: MANAGER}}},
        }

    async def _is_refused(
        self, environment: VulcanEnvironment, policy: str, change: Raw
    ) -> bool | None:
        space, name = environment.metadata.namespace, environment.metadata.name
        body: Raw = {"apiVersion": API_VERSION, "kind": Kind.ENVIRONMENT.value, **change}
        body["metadata"] = {"name": name, "namespace": space, **change.get("metadata", {})}
        try:
            await self._kube.apply(ENVIRONMENTS, space, name, body, MANAGER, dry_run=True)
        except (errors.Forbidden, errors.Invalid) as error:
            said = error.message
            if "ValidatingAdmissionPolicy" in said and policy in said:
                return True
            doubt = "cannot tell whether %s holds, the trial was refused otherwise: %s"
            _log.warning(doubt, policy, said)
            return None
        return False

    async def _differences(self) -> dict[str, str]:
        """Return what is wrong with the policies that are installed, by policy."""
        installed = await self._all(resources.POLICIES)
        bindings = await self._all(resources.POLICY_BINDINGS)
        return dict(policies.differences(policies.shipped(self._account), installed, bindings))

    async def _all(self, resource: Resource) -> list[Raw]:
        return [raw async for page in self._kube.pages(resource) for raw in page.items]

    async def _me(self) -> str:
        body: Raw = {"apiVersion": USER_REVIEWS.api_version, "kind": USER_REVIEWS.kind}
        try:
            answer = await self._kube.create(USER_REVIEWS, "", body)
            return str(answer["status"]["userInfo"]["username"])
        except (errors.Permanent, KeyError):
            return self._account

    def accept(self, found: Unguarded) -> None:
        """Make what a check found the verdict; None is accepted after several such checks only."""
        if found is None and not self._idle:
            self._doubts += 1
        elif found is not None:
            self._doubts = 0
        if found is None and self._doubts < _DOUBTS:
            found = self.unguarded  # one check that says nothing must not stop what is protected
        metrics.guarded(None if found is None else [text.partition(":")[0] for text in found])
        if found != self.unguarded:
            self.unguarded = found
            self._changed()
