"""The doors of requests: a list with filters, and one request by itself. Knows no table and no template's words."""

from typing import Any
from urllib.parse import urlencode

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from app.errors import NotFound
from app.fleet.judge import Court
from app.store import queries
from app.store.store import Store
from app.web.decisions import decision_twin, decision_view
from app.web.doors.spans import span_of_page
from app.web.ranges import CHOICES, Range
from app.web.requests import CHOICES as OUTCOMES
from app.web.requests import Wanted, request_row
from app.web.view import NavItem, page

REQUESTS = NavItem(name="requests", title="Requests", path="/dashboard/requests")
REQUEST = NavItem(name="request", title="Request", path="/dashboard/requests")
ROWS = 50
SEARCHED = 50_000
"""Requests whose words are looked through at once: a search of a million would hold up everybody."""


class RequestsPage(Controller):
    path = "/dashboard/requests"
    include_in_schema = False
    dependencies = {"span": span_of_page("7d")}  # noqa: RUF012 - Litestar's own form

    @get("/")
    async def show(
        self,
        store: NamedDependency[Store],
        nav: NamedDependency[tuple[NavItem, ...]],
        span: NamedDependency[Range],
        before: FromQuery[float] = 0.0,
        model: FromQuery[str] = "",
        node_id: FromQuery[str] = "",
        tag: FromQuery[str] = "",
        status: FromQuery[str] = "",
        modality: FromQuery[str] = "",
        text: FromQuery[str] = "",
    ) -> Template:
        wanted = Wanted(model=model, node_id=node_id, tag=tag, status=status, modality=modality, text=text.strip())
        end = min(before, span.end) if before > 0 else span.end
        reach = await queries.newest_but(store, SEARCHED, end=end) if wanted.text else None
        start = max(span.start, reach or 0.0)
        further = start > span.start
        traces = await queries.recent_traces(store, limit=1, request_id=wanted.text) if wanted.text else []
        traces = traces or await queries.recent_traces(
            store, limit=ROWS + 1, model=model or None, node_id=node_id or None, tag=tag or None,
            modality=modality or None, statuses=wanted.statuses, text=wanted.text, start=start, end=end,
        )  # fmt: skip
        shown = traces[:ROWS]
        query = f"{span.query}&{urlencode(wanted.words)}".rstrip("&")
        last = shown[-1].timestamp if len(traces) > ROWS else start if further else None
        older = "" if last is None else f"?{query}&before={last!r}"
        return page(
            REQUESTS, nav, range=span, choices=CHOICES, wanted=wanted, outcomes=OUTCOMES, older=older, first=not before,
            query=query, searched=SEARCHED if further else 0, rows=[request_row(trace) for trace in shown],
        )  # fmt: skip

    @get("/{request_id:str}")
    async def one(
        self,
        store: NamedDependency[Store],
        court: NamedDependency[Court],
        nav: NamedDependency[tuple[NavItem, ...]],
        request_id: FromPath[str],
    ) -> Template:
        found = await queries.recent_traces(store, limit=1, request_id=request_id)
        if not found:
            raise NotFoundException(f"no request {request_id} is kept")
        kept = court.decisions.find(request_id)
        decision = None if kept is None else decision_view(kept)
        return page(REQUEST, nav, it=request_row(found[0]), part="request", decision=decision)


class DecisionsApi(Controller):
    path = "/dashboard/api/decisions"

    @get("/{request_id:str}", summary="Who was ranked and who refused for one of the last 500 requests, and why")
    async def one(self, court: NamedDependency[Court], request_id: FromPath[str]) -> dict[str, Any]:
        kept = court.decisions.find(request_id)
        if kept is None:
            raise NotFound(f"the decision about {request_id} is no longer kept")
        return decision_twin(kept)
