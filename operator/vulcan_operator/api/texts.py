"""Types of single values in specs and status: texts by their length, durations, crons, times."""

import datetime as dt
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from vulcan_contract import times
from vulcan_operator.api.schemas import cel, rule, schema


def _cut(limit: int) -> BeforeValidator:
    """Truncate to the CRD's limit: a long error message must not make a status write fail."""
    return BeforeValidator(
        lambda text: (
            f"{text[: limit - 1]}…" if isinstance(text, str) and len(text) > limit else text
        )
    )


DURATION = "^([0-9]{1,5}(ms|s|m|h|d)){1,5}$"
_DURATION_RULE = cel(
    f"self.matches('{DURATION}') || self == '0'",
    "a duration is written like 90s, 15m, 2h30m or 400d",
)

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME_RULE = cel(
    f"self.matches('^{_DNS_LABEL}([.]{_DNS_LABEL})*$')",
    "the name of an object has lower-case letters, digits, - and . only (an RFC 1123 subdomain)",
)
_NAMESPACE_RULE = cel(
    f"self.matches('^{_DNS_LABEL}$')",
    "the name of a namespace has lower-case letters, digits and - only (an RFC 1123 label)",
)
NAME_RULES = (_NAME_RULE["rule"], _NAMESPACE_RULE["rule"])
"""One of these holds for whatever becomes a part of a URL."""
_KEY_RULE = rule(
    "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",
    "a key of a ConfigMap or Secret has letters, digits, -, _ and . only, and does not start "
    "with ..",
)
_LABEL_KEY_RULE = rule(
    f"self.matches('^({_DNS_LABEL}([.]{_DNS_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    "a label key has letters, digits, -, _ and . only, after a DNS name and / at most",
)
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, json_schema_extra=schema(_NAME_RULE))
]
NamespaceName = Annotated[
    str, Field(min_length=1, max_length=253, json_schema_extra=schema(_NAMESPACE_RULE))
]
DataKey = Annotated[str, Field(min_length=1, max_length=253, json_schema_extra=_KEY_RULE)]
LabelKey = Annotated[str, Field(min_length=1, max_length=316, json_schema_extra=_LABEL_KEY_RULE)]
Name = Annotated[str, Field(min_length=1, max_length=253)]  # in a status, which has no rules
Text16 = Annotated[str, Field(max_length=16)]
Text32 = Annotated[str, Field(max_length=32)]
Text40 = Annotated[str, Field(max_length=40)]
Text63 = Annotated[str, Field(max_length=63)]
Text64 = Annotated[str, Field(max_length=64)]
Text128 = Annotated[str, Field(max_length=128)]
Text320 = Annotated[str, Field(max_length=320)]  # namespace/name
Text512 = Annotated[str, Field(max_length=512)]
ShortText = Annotated[str, Field(max_length=1024)]
BriefMessage = Annotated[str, _cut(256), Field(max_length=256)]
Message = Annotated[str, _cut(1024), Field(max_length=1024)]
LongMessage = Annotated[str, _cut(4096), Field(max_length=4096)]
FreeDict = Annotated[
    dict[str, Any],
    Field(max_length=128, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]
Duration = Annotated[str, Field(max_length=32, json_schema_extra=schema(_DURATION_RULE))]
_POSITIVE = cel("self.matches('[1-9]')", "this duration must be longer than 0")
PositiveDuration = Annotated[
    str, Field(max_length=32, json_schema_extra=schema(_DURATION_RULE, _POSITIVE))
]
_CRON_FIELD = "[0-9A-Za-z*,/?#L-]+"
_CRON_RULE = rule(
    f"self.matches('^{_CRON_FIELD}( +{_CRON_FIELD}){{4}}$')",
    "a cron has five fields: minute, hour, day of month, month, day of week (for example "
    "17 3 * * *)",
)
Cron = Annotated[str, Field(min_length=9, max_length=128, json_schema_extra=_CRON_RULE)]
_ZONE_RULE = rule(
    "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')",
    "timeZone is an IANA time zone, for example Europe/Berlin",
)
TimeZone = Annotated[str, Field(min_length=1, max_length=64, json_schema_extra=_ZONE_RULE)]
Timestamp = Annotated[
    dt.datetime,
    # Whole seconds, as everywhere in Kubernetes; kubectl prints them in columns.
    PlainSerializer(lambda t: times.to_second(t), when_used="json"),
]
