"""Promotion windows of environments and the freeze of gateways: fields of the two specs.

Used by `api.environment` and `api.gateway`; the planners evaluate them.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.schemas import Model, cel, rule, schema
from vulcan_operator.api.texts import Cron, PositiveDuration, ShortText, Timestamp, TimeZone

_PARTS = "UNTIL|BYDAY|BYMONTH|BYHOUR|WKST"
_OF_MONTHS = "BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYSETPOS"  # not with DAILY or WEEKLY: may never match
_VALUE = "[A-Z0-9,+-]+"
_NUMBERS = "(INTERVAL|COUNT)=[1-9][0-9]{0,3}"
_DAYS = f"(DAILY|WEEKLY)(;{_NUMBERS}|;({_PARTS})={_VALUE})*"
_RRULE = f"^FREQ=({_DAYS}|(MONTHLY|YEARLY)(;{_NUMBERS}|;({_PARTS}|{_OF_MONTHS})={_VALUE})*)$"


class PromotionWindow(Model):
    """A recurring time when promotions may (Allow) or must not (Deny) change the environment."""

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Name of the window; status and messages use it.",
        json_schema_extra=rule(
            "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
            "a window's name has lower-case letters, digits and -",
        ),
    )
    kind: Literal["Allow", "Deny"] = Field(
        description="Allow: if there is any, promotions change the environment only inside one of "
        "them. Deny: promotions never change it inside this window; Deny takes precedence."
    )
    cron: Cron | None = Field(
        None,
        description="When it opens, with a single minute. Exactly one of cron and rrule.",
        json_schema_extra=rule(
            "self.matches('^[0-9]{1,2} ')",
            "a window's cron starts with a single minute, so that it opens at most once an hour",
        ),
    )
    rrule: (
        Annotated[str, Field(min_length=10, max_length=256, json_schema_extra={"maxLength": 160})]
        | None
    ) = Field(
        None,
        description="When it opens: an RFC 5545 rule without the RRULE: prefix, for example "
        "FREQ=MONTHLY;BYDAY=-1FR.",
        json_schema_extra=schema(
            cel(
                f"self.matches('{_RRULE}')",
                "rrule starts with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY, followed by RFC 5545 "
                "parts such as ;BYDAY=FR; INTERVAL and COUNT are numbers from 1 to 9999",
            ),
            cel(
                "!self.contains('COUNT=') || !self.contains('UNTIL=')",
                "an rrule may have COUNT or UNTIL, but not both",
            ),
        ),
    )
    start: Annotated[str, Field(min_length=16, max_length=19)] | None = Field(
        None,
        description="DTSTART of rrule in timeZone: its first day and the time of day, for example "
        "2026-11-27T22:00.",
        json_schema_extra=rule(
            "self.matches('^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:00)?$')",
            "start is a local time without a zone, for example 2026-11-27T22:00",
        ),
    )
    duration: PositiveDuration = Field(
        description="How long it stays open, in local time: 22:00 and 4h always ends at 02:00."
    )
    time_zone: TimeZone = Field(
        "UTC", description="IANA time zone, for example Europe/Berlin. Default: UTC."
    )


WINDOW_RULES = (
    cel(
        "self.all(w, has(w.cron) != has(w.rrule))",
        "exactly one of cron, rrule must be set in a promotion window",
    ),
    cel(
        "self.all(w, has(w.rrule) == has(w.start))",
        "start is required with rrule, and allowed only with it",
    ),
)


class FreezeSpec(Model):
    """A freeze: only rollbacks change the views of any environment on the gateway."""

    reason: Annotated[ShortText, Field(min_length=1)] = Field(
        description="Why; shown by everything that waits for it."
    )
    until: Timestamp | None = Field(None, description="When it ends. Unset: when it is removed.")
