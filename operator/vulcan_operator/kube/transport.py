"""Sends requests over one aiohttp session: credentials, timeouts, rate limit and errors.

Used by `kube.client` only. Knows HTTP, not what requests mean. Retries nothing, but once after 401.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from vulcan_operator.kube import errors
from vulcan_operator.kube.access import Access, AccessError

# Is told verb, resource, HTTP status (0: no answer) and seconds.
Observe = Callable[[str, str, int, float], None]
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, AccessError)
_DOUBT_SECONDS = 30.0
_LONG_LINE = 16 * 1024
_MOST_READ = 128 * 1024 * 1024
_NOT_PLAIN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Request:
    """Describes one request; `verb` and `resource` name it for metrics and doubts about a 403."""

    method: str
    path: str
    verb: str
    resource: str
    namespace: str = ""
    params: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = "application/json"
    timeout: float = 30.0

    @property
    def group(self) -> tuple[str, str, str]:
        """Return what RBAC decides by."""
        return (self.verb, self.resource, self.namespace)


class Doubts:
    """Decides whether to believe a 403: an API server that has just started knows no roles.

    A 403 by RBAC counts only if within the last 30 s the server had no trouble and no request of
    the same verb, resource and namespace succeeded.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._trouble = float("-inf")
        self._worked: dict[tuple[str, str, str], float] = {}

    def trouble(self) -> None:
        """Note that there was no answer, a 429 or a 5xx."""
        self._trouble = self._monotonic()

    def worked(self, request: Request) -> None:
        """Note that a request succeeded."""
        self._worked[request.group] = self._monotonic()

    def judge(self, request: Request, error: errors.KubeError) -> errors.KubeError:
        """Return the error to raise: Unavailable instead of Forbidden while in doubt."""
        by_rbac = "cannot" in error.message and "resource" in error.message
        if not isinstance(error, errors.Forbidden) or not by_rbac:
            return error
        since = max(self._trouble, self._worked.get(request.group, float("-inf")))
        if self._monotonic() - since > _DOUBT_SECONDS:
            return error
        return errors.Unavailable(error.message, status=403, reason=error.reason)


class RateLimit:
    """Limits writes by a token bucket; 0 per second means no limit."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate, self._burst = per_second, burst
        self._tokens, self._at = burst, time.monotonic()

    async def wait(self) -> None:
        """Take a token, or sleep until there is one."""
        if self._rate <= 0:
            return
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)


class Transport:
    """Holds the session. Call `open` before use and `close` at the end."""

    def __init__(
        self, access: Access, observe: Observe = lambda verb, resource, status, seconds: None
    ) -> None:
        self._access, self._observe = access, observe
        self._session: aiohttp.ClientSession | None = None
        self.doubts = Doubts()

    async def open(self) -> None:
        """Load the credentials and create the session."""
        await self._access.renew()
        connector = aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=64)
        headers = {"Accept": "application/json"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Any:
        """Send a request and return the parsed answer. Raises KubeError."""
        began, status = time.monotonic(), 0
        try:
            # One limit for both attempts: a later write would be past the fence.
            async with asyncio.timeout(request.timeout):
                status, answer, retry_after = await self._exchange(request)
                if status == 401:
                    await self._access.renew()
                    status, answer, retry_after = await self._exchange(request)
        except _FAILURES as error:
            raise self._no_answer(request, _describe(error)) from error
        finally:
            self._observe(request.verb, request.resource, status, time.monotonic() - began)
        if status < 300:
            return self._parsed(request, answer)
        if status == 429 or status >= 500:
            self.doubts.trouble()
        reason, message = _status_object(answer)
        raise self.doubts.judge(request, errors.from_answer(status, reason, message, retry_after))

    def _parsed(self, request: Request, answer: bytes) -> Any:
        try:
            found = json.loads(answer)
        except ValueError as error:  # truncated, or the answer of a proxy
            raise self._no_answer(request, f"the answer is not JSON: {error}") from error
        self.doubts.worked(request)
        return found

    def _no_answer(self, request: Request, problem: str) -> errors.Unavailable:
        self.doubts.trouble()
        return errors.Unavailable(f"{request.verb} {request.resource}: {problem}")

    async def lines(self, request: Request, mark: str, most: int) -> list[str]:
        """Return the lines that contain `mark`, up to `most` bytes; others are not kept."""
        began, status = time.monotonic(), 0
        try:
            async with await self._request(request) as response:
                status = response.status
                if status < 300:
                    return await marked(response.content.iter_any(), mark.encode(), most)
                answer = await response.read()
        except _FAILURES as error:
            raise self._no_answer(request, _describe(error)) from error
        finally:
            self._observe(request.verb, request.resource, status, time.monotonic() - began)
        raise self.doubts.judge(request, errors.from_answer(status, *_status_object(answer)))

    async def _exchange(self, request: Request) -> tuple[int, bytes, float | None]:
        async with await self._request(request) as response:
            after = response.headers.get("Retry-After", "")
            return response.status, await response.read(), float(after) if after.isdigit() else None

    async def _request(self, request: Request) -> aiohttp.ClientResponse:
        if self._session is None:
            raise errors.Unavailable("the session is closed")
        headers = {"Content-Type": request.content_type} if request.body is not None else {}
        if header := await self._access.current_header():
            headers["Authorization"] = header
        body = None if request.body is None else encode(request.body)
        return await self._session.request(
            request.method, self._access.server + request.path, params=request.params, data=body,
            headers=headers, timeout=aiohttp.ClientTimeout(total=request.timeout),
            proxy=self._access.proxy, server_hostname=self._access.server_hostname,
        )  # fmt: skip


async def marked(chunks: AsyncIterator[bytes], mark: bytes, most: int) -> list[str]:
    """Return the lines with the mark; of a very long one the end, because anyone may print."""
    found: list[str] = []
    size, read, rest = 0, 0, b""
    async for chunk in chunks:
        read += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-_LONG_LINE:]
        for line in lines:
            if mark in line:
                found.append(line.decode(errors="replace"))
                size += len(line)
        if size > most or read > _MOST_READ:
            return found
    return [*found, rest.decode(errors="replace")] if mark in rest else found


def encode(body: Any) -> bytes:
    """Encode a body as JSON that is also YAML, as which the API server reads server-side apply.

    YAML has no surrogate pairs (unpaired halves are replaced) and wants some characters escaped.
    """
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return _NOT_PLAIN.sub(lambda c: f"\\u{ord(c[0]):04x}", _HALVES.sub("\ufffd", text)).encode()


def _status_object(answer: bytes) -> tuple[str, str]:
    try:
        data = json.loads(answer)
    except ValueError:
        return "", answer[:500].decode(errors="replace")
    if not isinstance(data, dict):
        return "", str(data)[:500]
    return str(data.get("reason") or ""), str(data.get("message") or "")


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    return f"no answer in time ({name})" if isinstance(error, TimeoutError) else str(error) or name
