"""What the API server accepts and refuses of each kind, with the message that users see."""

from typing import Any

import pytest

from tests.crds.objects import DIGEST, GONE, environment, gateway, promotion
from tests.crds.server import User

Raw = dict[str, Any]
GIT = {"git": {"url": "https://git.example.com/a.git"}}
IMAGE = f"project@sha256:{'0' * 64}"


def case(id_: str, document: Raw, *says: str) -> Any:
    """One object and what a refusal must say."""
    return pytest.param(document, says, id=id_)


def _url(url: str) -> Raw:
    return environment({"project.git.url": url})


def _prod(**changes: Any) -> Raw:
    return environment({key.replace("__", "."): value for key, value in changes.items()}, name="prod")


def _window(**fields: Any) -> Raw:
    """A Deny window by cron with these fields; None takes one away."""
    window = {"name": "w", "kind": "Deny", "cron": "0 22 * * *", "duration": "4h", **fields}
    window = {key: value for key, value in window.items() if value is not None}
    return environment({"revisionFrom": "Promotion", "project": GONE, "promotionWindows": [window]})


def _windows(*counts: int) -> Raw:
    """So many windows, counted from 0 each time."""
    made = [
        {"name": f"w{number}", "kind": "Allow", "rrule": LONG_RULE, "start": "2026-11-27T22:00:00", "duration": "4h"}
        for count in counts
        for number in range(count)
    ]
    return environment({"revisionFrom": "Promotion", "project": GONE, "promotionWindows": made})


LONG_RULE = f"FREQ=MONTHLY;INTERVAL=2;BYDAY=-1FR,+1SA;BYHOUR={','.join(map(str, range(24)))};COUNT=99;WKST=MO"
RULE = {"cron": None, "rrule": "FREQ=WEEKLY;BYDAY=FR", "start": "2026-11-27T22:00"}
BAD_WINDOWS: list[tuple[str, Raw]] = [
    ("exactly one of cron, rrule", RULE | {"cron": "0 22 * * *"}),
    ("exactly one of cron, rrule", {"cron": None}),
    ("start is required with rrule", {"start": "2026-11-27T22:00"}),
    ("start is required with rrule", RULE | {"start": None}),
    ("it opens at most once an hour", {"cron": "* 22 * * *"}),
    ("it opens at most once an hour", {"cron": "0,30 22 * * *"}),
    ("a cron has five fields", {"cron": "0 22 * * * 2027"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "FREQ=HOURLY;BYDAY=FR"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "BYDAY=FR;FREQ=WEEKLY"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "RRULE:FREQ=WEEKLY"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "FREQ=WEEKLY\nEXDATE:20261127T220000"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "FREQ=DAILY;BYMONTHDAY=31"}),
    ("rrule starts with FREQ=", RULE | {"rrule": "FREQ=DAILY;BYMINUTE=1,2"}),
    ("COUNT or UNTIL", RULE | {"rrule": "FREQ=WEEKLY;COUNT=3;UNTIL=20270101"}),
    ("a local time without a zone", RULE | {"start": "2026-11-27T22:00Z"}),
    ("a local time without a zone", RULE | {"start": "1970-01-01T00:00"}),
    ("must be longer than 0", {"duration": "0h"}),
    ("duration", {"duration": None}),
    ("kind", {"kind": None}),
    ("timeZone is an IANA time zone", {"timeZone": "+02:00"}),
    ("a window's name has lower-case letters", {"name": "Year End"}),
]


BAD_ENVIRONMENTS = [
    case(
        "two images",
        environment({"project": {"image": IMAGE}, "runner": {"image": "runner:1"}}),
        "which is the runner image",
    ),
    *(case(f"window: {says}", _window(**window), says) for says, window in BAD_WINDOWS),
    case(
        "windows of its own project",
        environment({"promotionWindows": [{"name": "n", "kind": "Deny", "cron": "0 0 * * *", "duration": "1h"}]}),
        "promotionWindows apply to promotions only",
    ),
    case("17 windows", _windows(17), "must have at most 16 items"),
    case("two windows of one name", _windows(1, 1), "Duplicate value"),
    case("no project source", environment({"project": {}}), "exactly one of git, configMap, image must be set"),
    case(
        "two project sources",
        environment({"project": {**GIT, "configMap": {"name": "c"}}}),
        "exactly one of git, configMap, image must be set",
    ),
    case("no project", environment({"project": GONE}), "project is required with revisionFrom: Source"),
    case("project and Promotion", environment({"revisionFrom": "Promotion"}), "forbidden with revisionFrom: Promotion"),
    case("environment name", environment({"environment": "Dev-1"}), "lower-case letters, digits and _ only"),
    case("environment name too long", environment({"environment": "e" * 41}), "may not be more than 40"),
    case("object name too long", environment(name="n" * 41), "metadata.name may have at most 40 characters"),
    case("ttl with Retain", environment({"ttl": "72h", "deletionPolicy": "Retain"}), "choose Expire or Invalidate"),
    case("ttl for prod by name", _prod(ttl="72h"), "not for environment prod"),
    case("ttl for prod by field", environment({"ttl": "72h", "environment": "prod"}), "not for environment prod"),
    case("Invalidate for prod by name", _prod(deletionPolicy="Invalidate"), "Invalidate is not for environment prod"),
    case(
        "Invalidate for prod by field",
        environment({"deletionPolicy": "Invalidate", "environment": "prod"}),
        "Invalidate is not for environment prod",
    ),
    case("start for prod", _prod(plan__start="2026-01-01"), "plan.start is not for environment prod"),
    case("Cron without cron", environment({"schedule.mode": "Cron"}), "schedule.cron is required with mode: Cron"),
    case(
        "cron without Cron",
        environment({"schedule.cron": {"cron": "0 3 * * *"}}),
        "schedule.cron is required with mode: Cron",
    ),
    case(
        "cron with four fields",
        environment({"schedule": {"mode": "Cron", "cron": {"cron": "0 3 * * "}}}),
        "a cron has five fields",
    ),
    case(
        "cron with six fields",
        environment({"schedule": {"mode": "Cron", "cron": {"cron": "0 0 3 * * *"}}}),
        "a cron has five fields",
    ),
    case(
        "cron shortcut",
        environment({"schedule": {"mode": "Cron", "cron": {"cron": "@midnight"}}}),
        "a cron has five fields",
    ),
    case(
        "time zone",
        environment({"schedule": {"mode": "Cron", "cron": {"cron": "0 3 * * *", "timeZone": "+02:00"}}}),
        "IANA time zone",
    ),
    case("mode", environment({"plan.approval.mode": "Sometimes"}), "Unsupported value", '"Never", "OnRisk", "Always"'),
    case("duration", environment({"ttl": "3 days"}), "a duration is written like 90s, 15m, 2h30m or 400d"),
    case("duration without unit", environment({"plan.approval.expireAfter": "72"}), "a duration is written like"),
    case("negative duration", environment({"retry.backoff": "-1s"}), "a duration is written like"),
    case("absurd duration", environment({"retry.backoff": "1234567d"}), "a duration is written like"),
    case("window without a unit", environment({"rollback.window": "7"}), "a duration is written like"),
    case("endless history", environment({"promotionHistory.limit": 101}), "less than or equal to 100"),
    case("no history", environment({"promotionHistory.limit": 0}), "greater than or equal to 1"),
    case("history of no time", environment({"promotionHistory.maxAge": "0"}), "must be longer than 0"),
    case("empty duration", environment({"freshness.maxLag": "0"}), "must be longer than 0"),
    case("maxHistory", environment({"plan.limits.maxHistory": "1y"}), "a duration is written like"),
    case("relative date", environment({"plan.devStart": "yesterday"}), "a date must be absolute"),
    case("impossible month", environment({"plan.start": "2026-13-01"}), "a date must be absolute"),
    case("effectiveFrom", environment({"plan.effectiveFrom": "2026-01-01", "plan.forwardOnly": False}), "forward-only"),
    case("https password", _url("https://u:pw@git.example.com/a.git"), "Forbidden", "url must not contain credentials"),
    case("https token", _url("https://token@git.example.com/a.git"), "Forbidden", "url must not contain credentials"),
    case(
        "https token with @", _url("https://u:p@w@git.example.com/a"), "Forbidden", "url must not contain credentials"
    ),
    case("ssh password", _url("ssh://git:pw@git.example.com/a.git"), "Forbidden", "url must not contain credentials"),
    case("token in query", _url("https://git.example.com/a.git?token=x"), "url is an https, ssh or file URL"),
    case("other scheme", _url("ext::sh -c id"), "url is an https, ssh or file URL"),
    case("option as ref", environment({"project.git.ref": "--upload-pack=x"}), "ref is the name of a branch or tag"),
    case("option as url", _url("-oProxyCommand@h:x"), "no part of url begins with a dash"),
    case("option as ssh user", _url("ssh://-oProxyCommand=x@h/y"), "no part of url begins with a dash"),
    case("option as host", _url("git@-h:x"), "no part of url begins with a dash"),
    case("option as https host", _url("https://-h/y"), "no part of url begins with a dash"),
    case("option as scp path", _url("git@h:-x"), "no part of url begins with a dash"),
    case("path outside", environment({"project.git.path": "a/../../b"}), "relative, without .."),
    case("absolute path", environment({"project.git.path": "/etc"}), "relative, without .."),
    case(
        "file outside",
        environment({"project": {"configMap": {"name": "c", "items": [{"key": "a", "path": "../a"}]}}}),
        "relative, without ..",
    ),
    case("image by tag", environment({"project": {"image": "project:1"}}), "image must be pinned by digest"),
    case(
        "two operations with one id",
        environment({"operations": [{"id": "a", "models": ["m"]}, {"id": "a", "models": ["n"]}]}),
        "Duplicate value",
    ),
    case(
        "operation without models", environment({"operations": [{"id": "a", "models": []}]}), "should have at least 1"
    ),
    case(
        "operation backwards",
        environment({"operations": [{"id": "a", "models": ["m"], "start": "2026-02-01", "end": "2026-01-01"}]}),
        "start must not be after its end",
    ),
    case(
        "short digest",
        environment({"approvals": [{"plan": "sha256:0123", "by": "a"}]}),
        "plan must be the complete digest",
    ),
    case(
        "one person twice on a plan",
        environment({"approvals": [{"plan": DIGEST, "by": "admin"}, {"plan": DIGEST, "by": "admin"}]}),
        "Duplicate value",
    ),
    case("category", environment({"plan.categories": {"m": "Harmless"}}), "Unsupported value"),
    case("typing error", environment({"plan.aproval": {}}), 'unknown field "spec.plan.aproval"'),
    case("no gateway", environment({"gatewayRef": GONE}), "spec.gatewayRef", "Required value"),
    case("soda from nowhere", environment({"checks.soda": {}}), "spec.checks.soda.configMapRef", "Required value"),
    case("count", environment({"plan.approval.count": 0}), "greater than or equal to 1"),
]

GOOD_ENVIRONMENTS = [
    case("a window by cron", _window()),
    case("a window by rrule", _window(**RULE, timeZone="Europe/Berlin")),
    case("16 long windows", _windows(16)),
    case("no windows of its own project", environment({"promotionWindows": []})),
    case("smallest", environment()),
    case(
        "ConfigMap", environment({"project": {"configMap": {"name": "c", "items": [{"key": "a", "path": "m/a..b"}]}}})
    ),
    case("image", environment({"project": {"image": IMAGE}})),
    case("ssh", _url("ssh://git@git.example.com:22/a.git")),
    case("scp", _url("git@git.example.com:team/a.git")),
    case("dashes within", _url("ssh://my-git@git-1.example.com/-/a-b.git")),
    case("from promotions", environment({"project": GONE, "revisionFrom": "Promotion"})),
    case("preview", environment({"ttl": "72h", "deletionPolicy": "Invalidate", "ttlAction": "Delete"})),
    case("no window", environment({"rollback.window": "0"})),
    case("short history", environment({"promotionHistory": {"limit": 1, "maxAge": "1d"}})),
    case("preview by default policy", environment({"ttl": "2h30m"})),
    case("prod", _prod(deletionPolicy="Retain", plan__approval__mode="Always")),
    case(
        "cron",
        environment({"schedule": {"mode": "Cron", "cron": {"cron": "*/15 0-6 1,15 JAN MON", "timeZone": "Etc/GMT+2"}}}),
    ),
    case("manual", environment({"schedule": {"mode": "Manual"}})),
    case("soda", environment({"checks.soda.configMapRef.name": "c"})),
    case("YAML's booleans as strings", environment({"plan.categories": {"y": "Breaking", "n": "NonBreaking"}})),
    case("forward-only", environment({"plan.effectiveFrom": "2026-01-01T10:00:00Z", "plan.forwardOnly": True})),
    case("only warnings off", environment({"plan.limits": {"maxHistory": "0", "maxRebuiltModels": 0}})),
    case("restatement", environment({"operations": [{"id": "a", "models": ["m"], "start": "2026-01-01"}]})),
    case("longest name", environment(name="n" * 40)),
]


def _options(**options: Any) -> Raw:
    return {"type": "postgres", "options": options}


_SECRETS = ("password", "token", "private_key", "client_secret", "aws_secret_access_key")

BAD_GATEWAYS = [
    case("a freeze without a reason", gateway({"freeze": {"until": "2027-01-01T00:00:00Z"}}), "freeze.reason"),
    case("a freeze with an empty reason", gateway({"freeze": {"reason": ""}}), "freeze.reason"),
    case("a freeze until some day", gateway({"freeze": {"reason": "x", "until": "2027"}}), "freeze.until"),
    *(
        case(
            f"{field} in {place}",
            gateway({place: _options(**{field: "x"})}),
            f"spec.{place}.options.{field}: Forbidden: {field} is a secret: put it into a Secret",
        )
        for place in ("connection", "stateConnection", "planning.connection", "planning.stateConnection")
        for field in _SECRETS
    ),
    case(
        "secret in an additional connection",
        gateway({"additionalConnections": [{"sqlmeshName": "b", **_options(password="x")}]}),
        "options.password: Forbidden: password is a secret",
    ),
    case(
        "secret as object", gateway({"connection": _options(keyfile_json={"a": "b"})}), "keyfile_json may hold secrets"
    ),
    case(
        "nested secret",
        gateway({"connection": _options(connector_config={"s3_secret_access_key": "x"})}),
        "secrets.connector_config with as: JSON",
    ),
    case(
        "secret in a variable",
        gateway({"runner.env": [{"name": "PGPASSWORD", "value": "x"}]}),
        "set it with valueFrom.secretKeyRef",
    ),
    case(
        "DuckDB's secrets", gateway({"connection": _options(secrets={"s": {"type": "s3"}})}), "secrets may hold secrets"
    ),
    case("DuckDB's secrets as list", gateway({"connection": _options(secrets=[{"type": "s3"}])}), "secrets"),
    case(
        "secret under no field name",
        gateway({"connection.secrets": {"../password": {"name": "w", "key": "p"}}}),
        "names of connection fields",
    ),
    case(
        "secret as what", gateway({"connection.secrets": {"password": {"name": "w", "key": "p", "as": "Env"}}}), "Path"
    ),
    case("schema", gateway({"stateConnection.schema": 'a"b'}), "schema is an identifier"),
    case("sqlmeshName", gateway({"sqlmeshName": "a__b"}), "single _ only"),
    case(
        "own name twice",
        gateway({"sqlmeshName": "a", "additionalConnections": [{"sqlmeshName": "a", **_options()}]}),
        "additionalConnections need names other than sqlmeshName",
    ),
    case(
        "own name twice by default",
        gateway({"additionalConnections": [{"sqlmeshName": "gw", **_options()}]}, name="gw"),
        "names other than the gateway's own",
    ),
    case(
        "selector without Selector",
        gateway({"grants": [{"namespaces": {"selector": {}}}]}),
        "from: Selector, and allowed only",
    ),
    case("Selector without selector", gateway({"grants": [{"namespaces": {"from": "Selector"}}]}), "from: Selector"),
    case(
        "In without values",
        gateway(
            {
                "grants": [
                    {
                        "namespaces": {
                            "from": "Selector",
                            "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                        }
                    }
                ]
            }
        ),
        "In and NotIn need values",
    ),
    case("environment pattern", gateway({"grants": [{"environments": ["Dev-*"]}]}), "* and ? are wildcards"),
    case("same environment twice", gateway({"grants": [{"environments": ["a", "a"]}]}), "Duplicate value"),
    case(
        "git password",
        gateway({"gitCredentials": [{"urlPrefix": "https://u:p@git.example.com/", "secretRef": {"name": "g"}}]}),
        "Forbidden",
        "urlPrefix must not contain credentials",
    ),
    case(
        "proxy password",
        gateway({"runner.proxy": "http://u:p@proxy:3128"}),
        "Forbidden",
        "proxy must not contain credent",
    ),
    case(
        "hostPath",
        gateway({"runner.volumes": [{"volume": {"hostPath": {"path": "/"}}, "mountPath": "/x"}]}),
        'unknown field "spec.runner.volumes[0].volume.hostPath"',
    ),
    case(
        "no volume",
        gateway({"runner.volumes": [{"volume": {}, "mountPath": "/x"}]}),
        "other volumes are not allowed",
    ),
    case(
        "mount path",
        gateway({"runner.volumes": [{"volume": {"emptyDir": {}}, "mountPath": "x/../y"}]}),
        "absolute path without ..",
    ),
    case("our labels", gateway({"runner.podLabels": {"vulcan.dev/task": "run"}}), "belong to the operator"),
    case("our annotations", gateway({"runner.podAnnotations": {"vulcan.dev/why": ""}}), "belong to the operator"),
    case(
        "our variables", gateway({"runner.env": [{"name": "VULCAN_TASK", "value": "x"}]}), "do not start with VULCAN_"
    ),
    case("no deadline", gateway({"runner.deadline": "0s"}), "must be longer than 0"),
    case("janitor", gateway({"janitor.schedule": "every day"}), "a cron has five fields"),
    case("object name too long", gateway(name="n" * 41), "metadata.name may have at most 40 characters"),
    case("no state", gateway({"stateConnection": GONE}), "spec.stateConnection", "Required value"),
]

GOOD_GATEWAYS = [
    case("frozen", gateway({"freeze": {"reason": "x"}})),
    case("smallest", gateway()),
    case(
        "any option", gateway({"connection": _options(port=5432, flag=True, nested={"a": [1, {"b": None}]}, empty="")})
    ),
    case(
        "planning",
        gateway({"planning": {"connection": _options(user="reader"), "stateConnection": _options(user="r")}}),
    ),
    case("more warehouses", gateway({"additionalConnections": [{"sqlmeshName": "b", **_options()}]})),
    case(
        "DuckDB's secrets by reference",
        gateway({"connection.secrets": {"secrets": {"name": "d", "key": "s", "as": "JSON"}}}),
    ),
    case(
        "grants",
        gateway(
            {
                "grants": [
                    {"namespaces": {"from": "Same"}, "environments": ["prod"], "protected": True},
                    {
                        "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}},
                        "environments": ["dev_*", "pr_??"],
                        "maxEnvironments": 50,
                    },
                    {"namespaces": {"from": "All"}},
                    {},
                ]
            }
        ),
    ),
    case(
        "runner",
        gateway(
            {
                "runner": {
                    "env": [
                        {"name": "A", "value": "b"},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                    "volumes": [{"volume": {"secret": {"secretName": "s"}}, "mountPath": "/run/keys"}],
                    "tolerations": [{"key": "a", "operator": "Exists"}],
                    "resources": {"limits": {"memory": "1Gi"}},
                    "podLabels": {"team": "a"},
                    "proxy": "http://proxy:3128",
                    "imagePullSecrets": [{"name": "p"}],
                }
            }
        ),
    ),
    case("probes off", gateway({"probe.interval": "0"})),
    case(
        "git", gateway({"gitCredentials": [{"urlPrefix": "ssh://git@git.example.com/a/", "secretRef": {"name": "g"}}]})
    ),
]

BAD_PROMOTIONS = [
    case("neither from nor rollbackTo", promotion({"from": GONE}), "exactly one of from, rollbackTo must be set"),
    case("both", promotion({"rollbackTo": {"promotion": "p"}}), "exactly one of from, rollbackTo must be set"),
    case("rollback to nothing", promotion({"from": GONE, "rollbackTo": {}}), "exactly one of promotion, planId"),
    case(
        "rollback to two things",
        promotion({"from": GONE, "rollbackTo": {"promotion": "p", "planId": "1"}}),
        "exactly one of promotion, planId",
    ),
    case(
        "revision and rollback",
        promotion({"from": GONE, "rollbackTo": {"promotion": "p"}, "revision": "a"}),
        "revision needs from",
    ),
    case("to itself", promotion({"to": {"environmentRef": {"name": "staging"}}}), "must be different environments"),
    case(
        "to itself in another namespace",
        promotion(
            {
                "from": {"environmentRef": {"name": "a", "namespace": "other"}},
                "to": {"environmentRef": {"name": "a", "namespace": "other"}},
            }
        ),
        "must be different environments",
    ),
    case("no target", promotion({"to": GONE}), "spec.to", "Required value"),
    case("checks", promotion({"gates.checks.mode": "Maybe"}), "Unsupported value"),
    case("percent", promotion({"gates.dataDiff": {"maxChangedRowsPercent": 101}}), "less than or equal to 100"),
    case("gate", promotion({"gates.tests": "Maybe"}), "Unsupported value"),
    case("soak", promotion({"gates.soak": {"duration": "long"}}), "a duration is written like"),
    case("short digest", promotion({"approvals": [{"plan": "0123", "by": "a"}]}), "plan must be the complete digest"),
    case("object name too long", promotion(name="n" * 41), "metadata.name may have at most 40 characters"),
]

GOOD_PROMOTIONS = [
    case("smallest", promotion()),
    case("rollback of a promotion", promotion({"from": GONE, "rollbackTo": {"promotion": "p"}})),
    case(
        "rollback to a plan",
        promotion({"from": GONE, "rollbackTo": {"planId": "1"}, "rollback.data": "CatchUpThenSwap"}),
    ),
    case("same name elsewhere", promotion({"to": {"environmentRef": {"name": "staging", "namespace": "other"}}})),
    case(
        "all gates",
        promotion(
            {
                "gates": {
                    "tests": "Required",
                    "audits": "Optional",
                    "checks": {"mode": "Required", "soda": {"configMapRef": {"name": "quality"}}},
                    "soak": {"duration": "0", "greenRuns": 2},
                    "virtualOnly": "Optional",
                },
                "approval": {"mode": "Always", "count": 2},
            }
        ),
    ),
]


@pytest.mark.parametrize(("document", "says"), [*BAD_ENVIRONMENTS, *BAD_GATEWAYS, *BAD_PROMOTIONS])
def test_refused(admin: User, document: Raw, says: tuple[str, ...]) -> None:
    answer = admin.create(document, dry_run=True)
    assert not answer.ok
    for text in says:
        assert text in answer.message


@pytest.mark.parametrize(("document", "says"), [*GOOD_ENVIRONMENTS, *GOOD_GATEWAYS, *GOOD_PROMOTIONS])
def test_accepted(admin: User, document: Raw, says: tuple[str, ...]) -> None:
    answer = admin.create(document, dry_run=True)
    assert answer.ok, answer.message
    assert not says


def test_refusal_does_not_repeat_the_secret(admin: User) -> None:
    for document in (
        gateway({"connection": _options(password="hunter2")}),
        _url("https://u:hunter2@git.example.com/a.git"),
        gateway({"runner.proxy": "http://u:hunter2@proxy"}),
    ):
        assert "hunter2" not in str(admin.create(document, dry_run=True).body)
