"""The doors of the overview: the page, its JSON twin and its live stream. Knows no store and no dispatcher."""

from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import ServiceUnavailableException
from litestar.response import Template
from litestar.types import ASGIApp

from app.web.live import EventStream, Live
from app.web.overview import Overview
from app.web.view import SECURITY_HEADERS, NavItem, page

OVERVIEW = NavItem(name="overview", title="Overview", path="/dashboard")
FRESH = {**SECURITY_HEADERS, "cache-control": "no-store"}


class OverviewController(Controller):
    path = "/dashboard"
    include_in_schema = False

    @get("/")
    async def show(self, live: NamedDependency[Live], nav: NamedDependency[tuple[NavItem, ...]]) -> Template:
        look = await live.look()
        return page(OVERVIEW, nav, regions=look.picture.regions, live_id=look.id)

    @get("/api/fleet")
    async def twin(self, live: NamedDependency[Live]) -> Response[Overview]:
        look = await live.look()
        return Response(look.page, headers=FRESH)

    @get("/events")
    async def events(self, live: NamedDependency[Live], request: Request) -> ASGIApp:  # type: ignore[type-arg]
        if live.full:
            raise ServiceUnavailableException("no further live stream can be opened")
        last_id = request.headers.get("last-event-id") or str(request.query_params.get("after") or "")
        return EventStream(live, last_id)
