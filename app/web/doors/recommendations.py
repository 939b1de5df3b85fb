"""The doors of Recommendations: the page, its JSON, pulls with progress, deletions. Knows no engine and no table."""

from collections.abc import Awaitable
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from app.errors import BodyInvalid, HerdError
from app.fleet.upkeep import Upkeep
from app.insight.advice import Advice
from app.insight.stock import NodeStock
from app.web.adviser import Adviser
from app.web.pull_board import PullBoard, PullRow
from app.web.recommendations import shown
from app.web.view import NavItem, page

RECOMMENDATIONS = NavItem(name="recommendations", title="Recommendations", path="/dashboard/recommendations")
NAME_MOST = 400
"""Longest name of a model or a node, in characters."""
Asking = Request[None, None, State]


class Meant(msgspec.Struct):
    """One model on one node. Without ``wait`` a pull is begun only, and ``/dashboard/api/pulls`` tells how it goes."""

    node_id: str = ""
    model: str = ""
    wait: bool = True


class RecommendationsPage(Controller):
    path = "/dashboard/recommendations"
    include_in_schema = False

    @get("/")
    async def show(
        self,
        adviser: NamedDependency[Adviser],
        pull_board: NamedDependency[PullBoard],
        nav: NamedDependency[tuple[NavItem, ...]],
        refresh: FromQuery[str] = "",
        node: FromQuery[str] = "",
    ) -> Template:
        advice, stocks = await adviser.advice(anew=refresh == "1"), await adviser.stock()
        it = shown(advice, stocks, adviser.snapshot(), pull_board.rows(), adviser.offers, opened=node)
        return page(RECOMMENDATIONS, nav, it=it)


class ModelsApi(Controller):
    """Whoever asks for ``admin`` is refused unless the administrator asks; what it is, the door does not know."""

    path = "/dashboard/api"

    @get("/recommendations", summary="What each node should hold, and why")
    async def recommendations(self, adviser: NamedDependency[Adviser], refresh: FromQuery[str] = "") -> Advice:
        return await adviser.advice(anew=refresh == "1")

    @get("/model-management", summary="What lies on the nodes' disks, and when each was used last")
    async def stock(self, adviser: NamedDependency[Adviser]) -> dict[str, tuple[NodeStock, ...]]:
        return {"nodes": await adviser.stock()}

    @get("/pulls", summary="The pulls under way, and what became of those begun here")
    async def pulls(self, pull_board: NamedDependency[PullBoard]) -> dict[str, tuple[PullRow, ...]]:
        return {"pulls": pull_board.rows()}

    @post("/pull", status_code=200, summary="Bring a model to a node (admin)")
    async def pull(
        self, request: Asking, pull_board: NamedDependency[PullBoard], admin: NamedDependency[object]
    ) -> Response[dict[str, Any]]:
        meant = await _meant(request)

        async def work() -> None:
            pull = pull_board.begin(meant.node_id, meant.model)
            if meant.wait:
                await pull_board.whole(pull)

        return await _done(meant, work())

    @post("/pull/cancel", status_code=200, summary="Stop a pull, for all who wait for it (admin)")
    async def cancel(
        self, request: Asking, pull_board: NamedDependency[PullBoard], admin: NamedDependency[object]
    ) -> Response[dict[str, Any]]:
        meant = await _meant(request)

        async def work() -> None:
            pull_board.cancel(meant.node_id, meant.model)

        return await _done(meant, work())

    @post("/delete", status_code=200, summary="Delete a model from a node (admin)")
    async def delete(
        self, request: Asking, upkeep: NamedDependency[Upkeep], admin: NamedDependency[object]
    ) -> Response[dict[str, Any]]:
        meant = await _meant(request)

        async def work() -> None:
            await upkeep.delete(meant.model, meant.node_id)

        return await _done(meant, work())


async def _meant(request: Asking) -> Meant:
    try:
        meant = msgspec.json.decode(await request.body(), type=Meant)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(f"the body is not valid: {error}") from None
    for what in (meant.node_id, meant.model):
        if not what.strip() or len(what) > NAME_MOST or not what.isprintable():
            raise BodyInvalid('send {"node_id": "...", "model": "..."}')
    meant.model = meant.model.strip()
    return meant


async def _done(meant: Meant, work: Awaitable[None]) -> Response[dict[str, Any]]:
    """What became of it: the error has its status, and its words stand where a page shows them."""
    told: dict[str, Any] = {"ok": True, "node_id": meant.node_id, "model": meant.model}
    try:
        await work
    except HerdError as error:
        return Response({**told, "ok": False, "error": error.text}, status_code=error.status)
    return Response(told)
