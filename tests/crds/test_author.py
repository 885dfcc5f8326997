"""Who created an object: written by the mutating policy where the server has one, and in any case not to be forged."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crds.conftest import ROOT, until
from tests.crds.objects import environment, promotion
from tests.crds.server import User

Raw = dict[str, Any]
pytestmark = pytest.mark.usefixtures("guarded")

CREATED_BY = "vulcan.dev/created-by"
GINA = "system:serviceaccount:crds:gina"


def by(name: str | None, document: Raw) -> Raw:
    """A copy that says who created it."""
    document = copy.deepcopy(document)
    if name is not None:
        document["metadata"].setdefault("annotations", {})[CREATED_BY] = name
    return document


def author(user: User, document: Raw) -> str | None:
    """What is stored."""
    found: str | None = user.get(document).body["metadata"].get("annotations", {}).get(CREATED_BY)
    return found


def patched(name: str | None) -> Raw:
    """A merge patch of the annotation."""
    return {"metadata": {"annotations": {CREATED_BY: name}}}


@pytest.fixture(params=["environment", "promotion"])
def document(request: pytest.FixtureRequest) -> Raw:
    """An object that is not there yet."""
    made: Raw = {"environment": environment, "promotion": promotion}[request.param]()
    return made


@pytest.mark.parametrize("said", [None, "alice", GINA, ""], ids=["nothing", "another", "the truth", "empty"])
def test_the_creator_is_written_whatever_the_manifest_says(gina: User, document: Raw, said: str | None) -> None:
    assert gina.create(by(said, document)).ok
    assert author(gina, document) == GINA


def test_so_it_is_by_server_side_apply(gina: User, document: Raw) -> None:
    assert gina.apply(document, "argocd-controller").ok
    assert author(gina, document) == GINA


@pytest.mark.parametrize("name", ["alice", GINA + "x", ""])
def test_nobody_changes_it(gina: User, admin: User, document: Raw, name: str) -> None:
    assert gina.create(document).ok
    for user in (gina, admin):
        answer = user.patch(document, patched(name))
        assert answer.code == 403
        assert "written when an object is created" in answer.message
    assert author(gina, document) == GINA


def test_what_would_take_it_away_leaves_it(gina: User, admin: User, document: Raw) -> None:
    assert gina.create(document).ok
    assert gina.patch(document, patched(None)).ok
    assert author(gina, document) == GINA
    whole = admin.get(document).body
    assert admin.replace({**whole, "metadata": {**whole["metadata"], "annotations": {}}}).ok
    assert author(gina, document) == GINA


def test_applying_it_with_the_author_and_then_without_leaves_it(gina: User, document: Raw) -> None:
    for name in (GINA, None):
        assert gina.apply(by(name, document), "argocd-controller").ok
        assert author(gina, document) == GINA


@pytest.fixture(scope="class")
def unstamped(server: Any, admin: User) -> Iterator[None]:
    """The mutating policy is off."""

    def stamps() -> bool:
        return CREATED_BY in admin.create(environment(), dry_run=True).body["metadata"].get("annotations", {})

    server.kubectl("delete", "mutatingadmissionpolicybinding", "vulcan-created-by")
    until(lambda: not stamps(), "the mutating policy is off")
    yield
    server.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy" / "created-by"))
    until(stamps, "the mutating policy is on again")


@pytest.mark.usefixtures("unstamped")
class TestWithoutTheMutatingPolicy:
    """An older server."""

    def test_people_name_themselves_and_nobody_else(self, gina: User, admin: User, document: Raw) -> None:
        for user in (gina, admin):
            answer = user.create(by("alice", document))
            assert answer.code == 403
            assert "must be the requesting user" in answer.message
        assert gina.create(by(GINA, document)).ok
        assert author(gina, document) == GINA

    @pytest.mark.parametrize("before", [None, GINA], ids=["unknown", "known"])
    @pytest.mark.parametrize("after", [None, GINA, "alice", "admin"])
    def test_it_is_not_changed_later(
        self, gina: User, admin: User, document: Raw, before: str | None, after: str | None
    ) -> None:
        assert gina.create(by(before, document)).ok
        for user in (gina, admin):
            assert user.patch(document, patched(after)).ok is (before == after)
        assert author(gina, document) == before

    def test_other_changes_meet_nothing(self, gina: User, document: Raw) -> None:
        assert gina.create(document).ok
        assert gina.patch(document, {"metadata": {"annotations": {"note": "x"}}}).ok
        assert author(gina, document) is None
