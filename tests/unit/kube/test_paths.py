"""URLs of objects: a name is one segment of a path, whatever is in it, or it is refused."""

import urllib.parse

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.kube.test_transport import Reached
from vulcan_operator.kube import errors
from vulcan_operator.kube.client import HttpKube, exists
from vulcan_operator.kube.resources import CONFIG_MAPS, CUSTOM, NAMESPACES, WATCHED, Resource
from vulcan_operator.kube.transport import Transport

WAYS_OUT = ("../../teamb/configmaps/secretproj", "a/b", "/", "..", ".", "")
ODD = ("a?x=1", "a#b", "..%2f..%2fteamb", "%2e%2e", "%2E%2E", "a b", "a\\b", "..;", "ä", "a\nb", "a&b=c", "....")
RESOURCES = (*WATCHED, CONFIG_MAPS, *CUSTOM.values())


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.plural)
@pytest.mark.parametrize("name", WAYS_OUT)
def test_a_name_that_leads_elsewhere_is_refused(resource: Resource, name: str) -> None:
    for arguments in ((name, "x"), ("data", name), ("data", name, "status"), (name, None)):
        with pytest.raises(errors.NoSuchName, match="this is no valid name"):
            resource.path(*arguments)
    with pytest.raises(errors.NoSuchName):
        NAMESPACES.path(None, name)


@pytest.mark.parametrize("name", ODD)
def test_every_other_name_is_one_segment(name: str) -> None:
    path = CONFIG_MAPS.path("data", name)
    assert path.count("/") == 6 and path.startswith("/api/v1/namespaces/data/configmaps/")
    assert not set(path) & set("?#& \\\n")


def test_places_of_objects_and_collections() -> None:
    assert CONFIG_MAPS.path() == "/api/v1/configmaps"
    assert CONFIG_MAPS.path("data") == "/api/v1/namespaces/data/configmaps"
    assert WATCHED[0].path("data", "prod", "status").endswith("/namespaces/data/vulcangateways/prod/status")
    assert NAMESPACES.path("", "data") == "/api/v1/namespaces/data"


@pytest.mark.parametrize("name", ODD)
async def test_what_goes_over_the_wire_is_that_segment(name: str) -> None:
    """The session normalises URLs, which must not undo the quoting."""
    asked = list[str]()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return web.json_response({"kind": "Status", "message": "not found"}, status=404)

    application = web.Application()
    application.router.add_route("*", r"/{path:[\s\S]*}", answer)
    async with TestServer(application) as server:
        transport = Transport(Reached(server))
        await transport.open()
        kube = HttpKube(transport)
        assert await exists(kube, CONFIG_MAPS, "data", name) is None
        with pytest.raises(errors.NotFound):
            await kube.delete(CONFIG_MAPS, "data", name)
        with pytest.raises(errors.NotFound):
            await kube.log("data", name, "main", "mark", 1)
        await transport.close()
    for path, plural in zip(asked, ("configmaps", "configmaps", "pods"), strict=True):
        head, _, tail = path.partition(f"/api/v1/namespaces/data/{plural}/")
        segment, _, rest = tail.partition("/")
        assert head == "" and urllib.parse.unquote(segment) == name
        assert rest == ("log?container=main" if plural == "pods" else "")


@pytest.mark.parametrize("name", WAYS_OUT)
async def test_what_is_no_name_does_not_exist_and_is_not_asked_for(name: str) -> None:
    transport = Transport(None)  # type: ignore[arg-type]  # never opened: a request would fail otherwise
    assert await exists(HttpKube(transport), CONFIG_MAPS, "data", name) is None
    with pytest.raises(errors.NoSuchName):
        await HttpKube(transport).delete(CONFIG_MAPS, "data", name)
