"""What comes over the wire and is not what was asked for; logs that are read in part."""

import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from vulcan_contract import report
from vulcan_operator.kube import errors
from vulcan_operator.kube.access import Access, AccessError
from vulcan_operator.kube.client import HttpKube
from vulcan_operator.kube.resources import JOBS
from vulcan_operator.kube.transport import Transport, marked


class Reached(Access):
    """Access to a test server."""

    def __init__(self, server: TestServer) -> None:
        super().__init__(None, None)
        self._url, self.renewals = str(server.make_url("")).rstrip("/"), 0

    @property
    def server(self) -> str:
        return self._url

    @property
    def proxy(self) -> None:
        return None

    @property
    def server_hostname(self) -> None:
        return None

    def ssl_context(self) -> bool:  # type: ignore[override]
        return False

    async def renew(self) -> None:
        self.renewals += 1
        if self.renewals > 1:
            raise AccessError("the token file is gone")

    async def current_header(self) -> str:
        return ""


async def served(status: int, body: bytes) -> tuple[TestServer, Transport]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(application)
    await server.start_server()
    transport = Transport(Reached(server))
    await transport.open()
    return server, transport


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, b"<html>", id="no JSON"),
        pytest.param(200, b'{"a":', id="cut off"),
        pytest.param(401, b"", id="no token"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_an_outage(status: int, body: bytes) -> None:
    server, transport = await served(status, body)
    try:
        with pytest.raises(errors.Unavailable):
            await HttpKube(transport).get(JOBS, "data", "a")
    finally:
        await transport.close()
        await server.close()


async def test_of_a_log_only_the_marked_lines_are_kept() -> None:
    lines, sha256, _ = report.frames({"a": ["x" * i for i in range(3000)]}, "nonce")
    noise = "n" * 100_000
    server, transport = await served(200, "\n".join([noise, *(f"{line}\n{noise}" for line in lines)]).encode())
    try:
        found = await HttpKube(transport).log("data", "p", "main", f"{report.MARK}nonce:", report.MAX_LOG)
    finally:
        await transport.close()
        await server.close()
    assert found == lines
    assert report.packed(found, "nonce", sha256) is not None


async def test_reading_stops_when_there_is_enough() -> None:
    read = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(1)
            yield b"mark" + b"x" * 1000 + b"\n"

    found = await marked(endless(), b"mark", 10_000)
    assert len(found) == len(read) == 10


async def test_a_line_without_end_is_not_kept() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000
        yield b"mark 1\nmark"
        yield b" 2"

    first, second = await marked(chunks(), b"mark", 10**9)
    assert first.endswith("mark 1")
    assert len(first) < 130_000
    assert second == "mark 2"


def test_a_report_above_its_bound_is_none() -> None:
    lines, sha256, size = report.frames(random.Random(1).randbytes(report.MAX_BYTES).hex(), "n")
    assert size > report.MAX_BYTES
    assert report.packed(lines, "n", sha256) is None
