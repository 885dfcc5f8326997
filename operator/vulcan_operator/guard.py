"""Are approvals protected? Tried, not believed: a dry-run of an approval in our own name must be refused by the policy.

Run by `loop` in the leader: at start, hourly, and with the first environment there is. The verdict goes into
`EnvironmentSeen.approvals_guarded`; protected environments wait until it is true. Nothing is ever stored by it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from vulcan_operator import metrics
from vulcan_operator.api import API_VERSION
from vulcan_operator.api.environment import VulcanEnvironment
from vulcan_operator.cache import Cache
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import Kube
from vulcan_operator.kube.resources import ENVIRONMENTS, USER_REVIEWS, Raw
from vulcan_operator.plan.actions import Kind

_log = logging.getLogger(__name__)
_EVERY = 3600.0
_AFTER_TROUBLE = 10.0
_AFTER_DOUBT = 300.0
_DOUBTS = 3
_MOST_APPROVALS = 64  # of the CRD: one more would be refused for its number, which says nothing
_NO_PLAN = "0" * 64  # the digest of no plan
MANAGER = "vulcan-approval-selfcheck"


class Guard:
    """Holds the verdict: True, False, or None while nobody knows."""

    def __init__(self, kube: Kube, cache: Cache, account: str, changed: Callable[[], None]) -> None:
        self._kube, self._cache, self._account, self._changed = kube, cache, account, changed
        self._news = asyncio.Event()
        self._idle = False  # there was no environment to try it on
        self._doubts = 0  # trials in a row that said nothing
        self.verdict: bool | None = None

    def poke(self) -> None:
        """There is an environment to try it on."""
        if self._idle:
            self._news.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            pause, self._idle = _EVERY, False
            try:
                verdict = await self.check()
                self._take(verdict)
                pause = _EVERY if verdict is not None or self._idle else _AFTER_DOUBT
            except errors.KubeError as error:
                _log.warning("could not check whether approvals are protected: %s", error.message)
                pause = _AFTER_TROUBLE
            except errors.NotLeader:
                pause = _AFTER_TROUBLE  # the fence is down: the term ends, or the Lease is renewed late
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause)
            self._news.clear()

    async def check(self) -> bool | None:
        """Try to approve something."""
        living = [e for e in self._cache.all_environments() if e.metadata.deletion_timestamp is None]
        found = [e for e in living if len(e.spec.approvals) < _MOST_APPROVALS] or living
        self._idle = not found
        if not found:
            return None
        return await self._try(
            min(found, key=lambda e: (not e.status.protected, e.metadata.namespace, e.metadata.name))
        )

    async def _try(self, environment: VulcanEnvironment) -> bool | None:
        meta = environment.metadata
        approval = {"plan": _NO_PLAN, "by": await self._me(), "decision": "Approve"}
        body: Raw = {
            "apiVersion": API_VERSION, "kind": Kind.ENVIRONMENT.value,
            "metadata": {"name": meta.name, "namespace": meta.namespace}, "spec": {"approvals": [approval]},
        }  # fmt: skip
        try:
            await self._kube.apply(ENVIRONMENTS, meta.namespace, meta.name, body, MANAGER, dry_run=True)
        except errors.Forbidden as error:
            if "ValidatingAdmissionPolicy" in error.message and "approv" in error.message:
                return True
            _log.warning(
                "cannot tell whether approvals are protected, the trial was refused otherwise: %s", error.message
            )
            return None
        except errors.Invalid as error:
            _log.warning("cannot tell whether approvals are protected: %s", error.message)
            return None
        _log.warning(
            "approvals are not protected: this account could approve a plan. Install the admission policy, and do not"
            " run the operator as an administrator; protected environments wait until then"
        )
        return False

    async def _me(self) -> str:
        body: Raw = {"apiVersion": USER_REVIEWS.api_version, "kind": USER_REVIEWS.kind}
        try:
            answer = await self._kube.create(USER_REVIEWS, "", body)
            return str(answer["status"]["userInfo"]["username"])
        except (errors.Permanent, KeyError):
            return self._account

    def _take(self, verdict: bool | None) -> None:
        if verdict is None and not self._idle:
            self._doubts += 1
        elif verdict is not None:
            self._doubts = 0
        if verdict is None and self._doubts < _DOUBTS:
            verdict = self.verdict  # one trial that says nothing is no reason to stop everything protected
        metrics.GUARDED.set(-1 if verdict is None else int(verdict))
        if verdict != self.verdict:
            self.verdict = verdict
            self._changed()
