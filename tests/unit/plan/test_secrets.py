"""Which Secrets of the pod a task names, so that the runner can scrub them."""

from tests.unit.plan.seen_objects import gw
from vulcan_operator.plan.tasks import values


def test_secrets_that_a_gateway_gives_its_pods_are_named() -> None:
    ref = {"secretKeyRef": {"name": "api", "key": "k"}}
    env = [{"name": "API_KEY", "valueFrom": ref}, {"name": "PLAIN", "value": "x"}]
    volumes = [
        {"volume": {"secret": {"secretName": "tls"}}, "mountPath": "/tls"},
        {"volume": {"emptyDir": {}}, "mountPath": "/scratch"},
    ]
    gateway = gw(runner={"env": env, "volumes": volumes})
    assert (values.secret_env(gateway), values.secret_paths(gateway)) == (("API_KEY",), ("/tls",))
