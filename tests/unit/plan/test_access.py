"""Grants, images, deletion policies, and which credentials a git URL gets."""

from typing import Any

import pytest

from tests.unit.plan.seen_objects import env, facts
from vulcan_operator.plan.rules import access
from vulcan_operator.plan.tasks import values

SAME = {"environments": ["prod"], "protected": True}
ALL = {"namespaces": {"from": "All"}, "environments": ["dev_*"], "maxEnvironments": 2}
TEAM = {
    "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "bi"}}},
    "environments": ["bi_?"],
}


@pytest.mark.parametrize(
    ("grants", "name", "namespace", "labels", "allowed", "protected"),
    [
        pytest.param([], "prod", "data", None, True, False, id="no grants: the own namespace"),
        pytest.param([], "prod", "other", None, False, False, id="no grants: no other namespace"),
        pytest.param([SAME], "prod", "data", None, True, True, id="a protected name"),
        pytest.param([SAME], "dev_x", "data", None, False, False, id="grants: what no grant names is refused"),
        pytest.param([SAME], "prod", "other", None, False, True, id="from Same is this namespace only"),
        pytest.param(
            [SAME, {"namespaces": {"from": "All"}, "environments": ["*"]}], "prod", "other", None, True, True,
            id="a protected name is protected from every namespace",
        ),
        pytest.param([ALL], "dev_x", "anywhere", None, True, False, id="from All"),
        pytest.param([ALL], "dev", "anywhere", None, False, False, id="a pattern covers the whole name"),
        pytest.param([ALL], "my_dev_x", "anywhere", None, False, False, id="from its beginning"),
        pytest.param([TEAM], "bi_1", "x", {"team": "bi"}, True, False, id="labels that match"),
        pytest.param([TEAM], "bi_1", "x", {"team": "other"}, False, False, id="labels that do not"),
        pytest.param([TEAM], "bi_1", "x", None, False, False, id="labels nobody has read"),
        pytest.param([TEAM], "bi_12", "x", {"team": "bi"}, False, False, id="? is one character"),
        pytest.param([SAME, {"environments": ["*"]}], "prod", "data", None, True, True, id="protected by any grant"),
    ],
)  # fmt: skip
def test_grants(
    grants: list[dict[str, Any]],
    name: str,
    namespace: str,
    labels: dict[str, str] | None,
    allowed: bool,
    protected: bool,
) -> None:
    found = access.access(facts(grants=grants), env("x", namespace, environment=name), labels)
    assert (found.allowed, found.protected) == (allowed, protected)


@pytest.mark.parametrize(
    ("limits", "most"),
    [([2, 5], 5), ([2, None], None), ([None], None)],
    ids=["the largest", "one without", "none"],
)
def test_the_most_generous_matching_grant_limits(
    limits: list[int | None], most: int | None
) -> None:
    grants = [
        {"environments": ["*"], **({"maxEnvironments": n} if n is not None else {})} for n in limits
    ]
    quota = access.access(facts(grants=grants), env(), None).quota
    assert (quota.max_environments if quota else None) == most


def test_labels_are_only_needed_when_a_grant_for_the_name_selects() -> None:
    assert access.needs_labels(facts(grants=[TEAM]), env("x", environment="bi_1"))
    assert not access.needs_labels(facts(grants=[TEAM]), env("x", environment="other"))


@pytest.mark.parametrize(
    ("image", "allowed", "good"),
    [
        ("registry.acme.com/team/runner:2", ["registry.acme.com/*"], True),
        ("registry.acme.com.evil.io/runner:2", ["registry.acme.com/*"], False),
        ("runner:1", [], True),  # the gateway's own
        ("runner:2", [], False),
        (None, [], True),
    ],
)
def test_images(image: str | None, allowed: list[str], good: bool) -> None:
    gateway = facts(runner={"allowedImages": allowed})
    assert access.image_allowed(env(runner={"image": image} if image else {}), gateway) == good


@pytest.mark.parametrize(
    ("name", "own", "protected", "policy"),
    [
        ("prod", None, False, "Retain"),
        ("dev", None, False, "Expire"),
        ("dev", None, True, "Retain"),
        ("dev", "Invalidate", True, "Retain"),
        ("dev", "Invalidate", False, "Invalidate"),
    ],
)
def test_deletion_policy(name: str, own: str | None, protected: bool, policy: str) -> None:
    assert access.deletion_policy(env(name, deletionPolicy=own), protected) == policy


PREFIXES = {
    "https://git.acme.com/analytics/": "team",
    "https://git.acme.com/analytics/secret": "project",
    "https://git.acme.com:8443/": "port",
    "ssh://git@git.acme.com/analytics": "key",
    "https://git.acme.com/a/../b": "climbs",
}


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        pytest.param("https://git.acme.com/analytics/shop.git", "team", id="below the prefix"),
        pytest.param("https://git.acme.com/analytics", "team", id="the prefix itself"),
        pytest.param("https://GIT.ACME.COM/analytics/shop.git", "team", id="hosts know no case"),
        pytest.param("HTTPS://git.acme.com/analytics/shop.git", "team", id="schemes neither"),
        pytest.param(
            "https://git.acme.com:443/analytics/shop.git", "team", id="the scheme's own port"
        ),
        pytest.param(
            "https://git.acme.com/analytics/secret/x.git", "project", id="the longest prefix wins"
        ),
        pytest.param(
            "https://git.acme.com/analytics/secrets.git", "team", id="whole segments only"
        ),
        pytest.param("https://git.acme.com//analytics//x.git", "team", id="empty segments"),
        pytest.param(
            "https://git.acme.com:8443/other/x.git", "port", id="another port has its own"
        ),
        pytest.param("git@git.acme.com:analytics/x.git", "key", id="the scp form is ssh"),
        pytest.param(
            "ssh://someone@git.acme.com:22/analytics/x.git", "key", id="ssh with its port"
        ),
        pytest.param("https://git.acme.com/Analytics/x.git", None, id="paths know case"),
        pytest.param("https://git.acme.com/analyticsevil/x.git", None, id="a longer first segment"),
        pytest.param("https://git.acme.com/other/x.git", None, id="another folder"),
        pytest.param("http://git.acme.com/analytics/x.git", None, id="never over plain http"),
        pytest.param(
            "https://git.acme.com.evil.com/analytics/x.git", None, id="a host that begins alike"
        ),
        pytest.param("https://evilgit.acme.com/analytics/x.git", None, id="a host that ends alike"),
        pytest.param(
            "https://git.acme.com@evil.com/analytics/x.git", None, id="the host as user name"
        ),
        pytest.param(
            "https://git.acme.com:x@evil.com/analytics/x.git",
            None,
            id="the host as user and password",
        ),
        pytest.param(
            "https://evil.com/https://git.acme.com/analytics/x", None, id="the prefix in a path"
        ),
        pytest.param(
            "https://evil.com#https://git.acme.com/analytics/", None, id="the prefix in a fragment"
        ),
        pytest.param(
            "https://evil.com?https://git.acme.com/analytics/", None, id="the prefix in a query"
        ),
        pytest.param("https://evil.com\\@git.acme.com/analytics/x.git", None, id="a backslash"),
        pytest.param(
            "https://git.acme.com\\.evil.com/analytics/x.git", None, id="a backslash in the host"
        ),
        pytest.param("https://git.acme.com/analytics/../other/x.git", None, id="climbing out"),
        pytest.param("https://git.acme.com/other/../analytics/x.git", None, id="climbing in"),
        pytest.param("https://git.acme.com/analytics/%2e%2e/other", None, id="climbing in escapes"),
        pytest.param(
            "https://git.acme.com/analytics%2f..%2fother", None, id="climbing in escaped slashes"
        ),
        pytest.param("https://git.acme.com/analytics/./x.git", None, id="a dot is no name"),
        pytest.param(
            "https://git.acme.com/b/x.git", None, id="a prefix that climbs covers nothing"
        ),
        pytest.param("https://git.acme.com:9/analytics/x.git", None, id="another port"),
        pytest.param("https://git.acme.com:abc/analytics", None, id="no port at all"),
        pytest.param("https://[git.acme.com/analytics", None, id="half an address"),
        pytest.param("https://git%2eacme.com/analytics/x.git", None, id="an escaped host"),
        pytest.param("https://git.acme.com\n.evil.com/analytics/", None, id="a line end"),
        pytest.param("https://ｇit.acme.com/analytics/x.git", None, id="a look-alike"),
        pytest.param("file:///srv/git/x.git", None, id="a file"),
        pytest.param(
            "git@evil.com:https://git.acme.com/analytics/", None, id="the prefix in an scp path"
        ),
        pytest.param("", None, id="nothing"),
    ],
)
def test_git_credentials_go_only_where_the_prefix_says(url: str, secret: str | None) -> None:
    credentials = [
        {"urlPrefix": prefix, "secretRef": {"name": name}} for prefix, name in PREFIXES.items()
    ]
    assert values.git_secret(facts(gitCredentials=credentials), url) == secret
