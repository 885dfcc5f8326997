"""Defines API errors as the few classes that callers treat differently.

Raised by `kube.client`, caught by `reconcile` and `worker`.
"""


class KubeError(Exception):
    """The API server refused a request, or did not answer."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason


class Retriable(KubeError):
    """The same request may succeed later."""


class Unavailable(Retriable):
    """There was no answer, or the API server is overloaded or starting."""

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.retry_after = retry_after


class Conflict(Retriable):
    """The object has changed since it was read; observe it again."""


class Expired(Retriable):
    """The continue token of a list is too old; list from the start."""


class Permanent(KubeError):
    """The same request will be refused again until something else changes."""


class AlreadyExists(Permanent):
    """An object of this name exists already."""


class NotFound(Permanent):
    """The object does not exist (or its namespace, if it is being created)."""


class NoSuchName(NotFound):
    """No object can have this name, so the API server is not asked."""


class Forbidden(Permanent):
    """RBAC, a quota or an admission policy forbids it."""


class Invalid(Permanent):
    """The server rejects the content."""


class NotLeader(Exception):
    """The fence is closed: this instance must not write any more."""


def from_answer(
    status: int, reason: str, message: str, retry_after: float | None = None
) -> KubeError:
    """Return the error for an HTTP status and the `Status` object in its body."""
    text = message or f"HTTP {status}"
    # Server-side apply answers 500 for fields the schema does not know; trying again cannot help.
    unknown = status == 500 and "typed patch object" in text
    if status in (401, 408, 429) or (status >= 500 and not unknown):
        return Unavailable(text, status=status, reason=reason, retry_after=retry_after)
    kinds = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired}
    kind: type[KubeError] = kinds.get(status, Invalid)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(text, status=status, reason=reason)
