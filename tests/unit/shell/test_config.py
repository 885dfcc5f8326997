"""Configuration: defaults, overrides, and errors that say what to do."""

import dataclasses

import pytest

from vulcan_operator.config import Config, ConfigError


def test_defaults_need_nothing() -> None:
    config = Config.from_env({})
    assert (config.namespace, config.workers, config.resync_interval) == ("vulcan-system", 8, 600.0)
    assert config.identity
    assert config.write_timeout < config.lease_duration - config.renew_deadline


def test_the_command_line_goes_before_the_environment() -> None:
    config = Config.from_env({"VULCAN_KUBE_CONTEXT": "a", "VULCAN_KUBECONFIG": "f"}, context="b", kubeconfig="")
    assert (config.context, config.kubeconfig) == ("b", "f")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"VULCAN_WORKERS": "many"}, "VULCAN_WORKERS='many': give a whole number"),
        ({"VULCAN_WORKERS": "0"}, "VULCAN_WORKERS must be at least 1"),
        ({"VULCAN_LEASE_DURATION": "5"}, "VULCAN_RETRY_PERIOD < VULCAN_RENEW_DEADLINE < VULCAN_LEASE_DURATION"),
        ({"VULCAN_INSTALL": "Not An Id"}, "use up to 40 lower-case letters"),
        ({"VULCAN_LOG_LEVEL": "loud"}, "use debug, info, warning or error"),
    ],
)
def test_errors_say_what_to_set(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_env(variables)


def test_every_setting_is_documented() -> None:
    for setting in dataclasses.fields(Config):
        assert setting.metadata["variable"].startswith("VULCAN_")
        assert setting.metadata["about"].endswith(".")
