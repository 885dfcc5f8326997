"""When promotions may change an environment, and the gateway's emergency brake: fields of the two specs.

Used by `api.environment` and `api.gateway`; judged by `plan.rules.windows` and `plan.rules.change_windows`.
"""

from typing import Annotated, Literal

from pydantic import Field

from vulcan_operator.api.fields import Cron, Model, PositiveDuration, ShortText, Timestamp, TimeZone, cel, schema

_PARTS = "INTERVAL|COUNT|UNTIL|BYDAY|BYMONTH|BYHOUR|WKST"
_OF_MONTHS = "BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYSETPOS"  # not with days and weeks: such a rule may never come true
_VALUE = "[A-Z0-9,+-]+"
_RRULE = f"^FREQ=((DAILY|WEEKLY)(;({_PARTS})={_VALUE})*|(MONTHLY|YEARLY)(;({_PARTS}|{_OF_MONTHS})={_VALUE})*)$"


class PromotionWindow(Model):
    """A time that comes again and again, in which promotions may (Allow) or must not (Deny) change the environment."""

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Name of the window; status and messages use it.",
        json_schema_extra=schema(
            cel(
                "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
                "a window's name has lower-case letters, digits and -",
            )
        ),
    )
    kind: Literal["Allow", "Deny"] = Field(
        description="Allow: with at least one of them, promotions change the environment only inside one. Deny: never "
        "inside it; Deny wins."
    )
    cron: Cron | None = Field(
        None,
        description="When it opens: five cron fields, the first of them one minute. Exactly one of cron and rrule.",
        json_schema_extra=schema(
            cel("self.matches('^[0-9]{1,2} ')", "a window's cron begins with one minute: it opens once an hour at most")
        ),
    )
    rrule: Annotated[str, Field(min_length=10, max_length=256)] | None = Field(
        None,
        description="When it opens: a rule of RFC 5545 without its name, for example FREQ=MONTHLY;BYDAY=-1FR.",
        json_schema_extra=schema(
            cel(
                f"self.matches('{_RRULE}')",
                "rrule begins with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY; then parts of RFC 5545 such as ;BYDAY=FR",
            ),
            cel(
                "!self.contains('COUNT=') || !self.contains('UNTIL=')",
                "an rrule has COUNT or UNTIL, and not both of them",
            ),
        ),
    )
    start: Annotated[str, Field(min_length=16, max_length=19)] | None = Field(
        None,
        description="DTSTART of rrule, in timeZone: its first day and the time of day, for example 2026-11-27T22:00.",
        json_schema_extra=schema(
            cel(
                "self.matches('^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:00)?$')",
                "start is a local time without zone, for example 2026-11-27T22:00",
            )
        ),
    )
    duration: PositiveDuration = Field(
        description="How long it stays open, by the clock of timeZone: 22:00 and 4h is until 02:00 in every night."
    )
    time_zone: TimeZone = Field("UTC", description="IANA time zone, for example Europe/Berlin. Default: UTC.")


WINDOW_RULES = (
    cel("self.all(w, has(w.cron) != has(w.rrule))", "exactly one of cron, rrule must be set in a promotion window"),
    cel("self.all(w, has(w.rrule) == has(w.start))", "start goes with rrule, and only with it"),
)


class FreezeSpec(Model):
    """Stop-the-line: nothing changes the views of any environment, but rollbacks."""

    reason: Annotated[ShortText, Field(min_length=1)] = Field(description="Why; shown wherever something waits for it.")
    until: Timestamp | None = Field(None, description="When it ends by itself. Unset: when it is removed.")
