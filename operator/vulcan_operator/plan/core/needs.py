"""What a planner wants read live before it can decide, and the answers. Pure values.

A planner asks `Live` where it needs an answer. One that was not read yet raises `Unread`;
`answering` turns that into a Plan which only names the need, `reconcile.reads` reads it, and the
planner is asked again. So no decision has to pass a need on, and none can forget to.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from vulcan_operator.plan.core import actions
from vulcan_operator.plan.core.actions import Need, Plan, Status
from vulcan_operator.plan.core.seen import SlotSeen

_Content = Mapping[str, bytes] | None


class Unread(Exception):
    """A planner needs these answers first."""

    def __init__(self, needs: Iterable[Need]) -> None:
        super().__init__("needs a live read")
        self.needs = frozenset(needs)


@dataclass(frozen=True)
class Live:
    """Answers to live reads of this pass. `denied`: the API server's refusal, if there was one."""

    answers: Mapping[Need, Any] = field(default_factory=dict)
    denied: str | None = None

    def having(self, need: Need, answer: Any) -> "Live":
        """The same with one more answer."""
        return replace(self, answers={**self.answers, need: answer})

    def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Content by key; None when there is no such ConfigMap."""
        return cast(_Content, self._answer(actions.ReadConfigMap(namespace, name)))

    def config_maps(self, namespace: str, names: Iterable[str]) -> dict[str, Mapping[str, bytes]]:
        """Content of those that exist, by name; all of them are asked for at once."""
        needs = {name: actions.ReadConfigMap(namespace, name) for name in names}
        missing = needs.values() - self.answers.keys()
        if missing:
            raise Unread(missing)
        found = {name: self.answers[need] for name, need in needs.items()}
        return {name: content for name, content in found.items() if content is not None}

    def slot(self, namespace: str, gateway: str) -> SlotSeen:
        """Holder of a gateway's writer Lease, and whether that may still write."""
        return cast(SlotSeen, self._answer(actions.ReadSlot(namespace, gateway)))

    def slot_if_read(self, namespace: str, gateway: str) -> SlotSeen | None:
        """The same for messages, which are no reason to read."""
        return self.answers.get(actions.ReadSlot(namespace, gateway))

    def require_job(self, namespace: str, job: str) -> None:
        """Asks for a Job and its pods, into the cache: before what is recorded for good."""
        self._answer(actions.ReadJob(namespace, job))

    def report(self, namespace: str, job: str) -> bytes | None:
        """The gzipped report of an ended Job; None when its log has none that fits the Result."""
        return cast("bytes | None", self._answer(actions.ReadReport(namespace, job)))

    def labels(self, namespace: str) -> Mapping[str, str]:
        """Labels of a namespace; none of them where the API server refuses to say."""
        need = actions.ReadLabels(namespace)
        if self.denied is not None and need not in self.answers:
            return {}
        return cast("Mapping[str, str]", self._answer(need))

    def _answer(self, need: Need) -> Any:
        if need not in self.answers:
            raise Unread([need])
        return self.answers[need]


def answering(status: Status, decide: Callable[[], Plan[Status]]) -> Plan[Status]:
    """What `decide` returns, or a Plan that only names what must be read first."""
    try:
        return decide()
    except Unread as unread:
        return Plan(status, needs=unread.needs)
