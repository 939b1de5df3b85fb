"""What operators do and look up: admit and forget nodes, sign in, read the last traces. Knows no page."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import Cookie, State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.api.trust import COOKIE, Admin, AdminKey
from app.errors import BodyInvalid, NotFound, Unauthorized
from app.fleet.intake import Intake
from app.fleet.lending import Lending
from app.store import queries
from app.store.records import TraceRecord
from app.store.store import Store


class Login(msgspec.Struct, frozen=True):
    token: str


class PauseWish(msgspec.Struct, frozen=True):
    """``for`` is a time as ``45m`` or ``2h``; empty: until it is resumed."""

    lasts: str = msgspec.field(default="", name="for")


class Operators(Controller):
    @post("/fleet/nodes/{node_id:str}/approve", status_code=200, summary="Let a waiting machine in (admin)")
    async def approve(
        self, node_id: FromPath[str], intake: NamedDependency[Intake], admin: NamedDependency[Admin]
    ) -> dict[str, str]:
        if await intake.approve(node_id, time.time()) is None:
            raise NotFound(f"no machine called {node_id} has asked to join")
        return {"status": "approved", "node_id": node_id}

    @post("/fleet/nodes/{node_id:str}/drain", status_code=200, summary="Give a node no new work (admin)")
    async def drain(
        self, node_id: FromPath[str], intake: NamedDependency[Intake], admin: NamedDependency[Admin]
    ) -> dict[str, str]:
        return await _drained(intake, node_id, True)

    @post("/fleet/nodes/{node_id:str}/pause", status_code=200, summary="Let a node rest, kept by the node (admin)")
    async def pause(
        self,
        node_id: FromPath[str],
        request: Request[None, None, State],
        lending: NamedDependency[Lending],
        admin: NamedDependency[Admin],
    ) -> dict[str, Any]:
        try:
            wish = msgspec.json.decode(await request.body() or b"{}", type=PauseWish)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BodyInvalid('send {"for": "2h"}, or nothing: until it is resumed') from None
        return {"status": "paused", "node_id": node_id, **await lending.pause(node_id, wish.lasts)}

    @post("/fleet/nodes/{node_id:str}/resume", status_code=200, summary="Give a drained or paused node work (admin)")
    async def resume(
        self,
        node_id: FromPath[str],
        intake: NamedDependency[Intake],
        lending: NamedDependency[Lending],
        admin: NamedDependency[Admin],
    ) -> dict[str, Any]:
        drained = await _drained(intake, node_id, False)
        told = await lending.resume(node_id)
        still = told is not None and (told["capacity"] or {}).get("mode") == "paused"
        return {**drained, **(told or {}), "status": "paused" if still else "resumed"}

    @get("/fleet/nodes/{node_id:str}/capacity", summary="What a node's owner lends, and the week it has learned")
    async def capacity(self, node_id: FromPath[str], lending: NamedDependency[Lending]) -> dict[str, Any]:
        return {"node_id": node_id, **await lending.look(node_id)}

    @delete("/fleet/nodes/{node_id:str}", status_code=200, summary="Forget a node and free its name (admin)")
    async def forget(
        self, node_id: FromPath[str], intake: NamedDependency[Intake], admin: NamedDependency[Admin]
    ) -> dict[str, str]:
        if not await intake.forget(node_id):
            raise NotFound(f"no node called {node_id} is known")
        return {"status": "forgotten", "node_id": node_id}

    @post("/admin/login", status_code=200, request_max_body_size=4096, summary="Trade the admin token for a cookie")
    async def login(
        self, request: Request[None, None, State], admin_key: NamedDependency[AdminKey]
    ) -> Response[dict[str, bool]]:
        try:
            login = msgspec.json.decode(await request.body(), type=Login)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BodyInvalid('send {"token": "..."}') from None
        if not admin_key.opens(login.token):
            raise Unauthorized("that is not the admin token", hint="`herd run` prints a link that carries it")
        cookie = Cookie(
            key=COOKIE, value=admin_key.proof, path="/", httponly=True, samesite="strict", max_age=30 * 86400
        )
        return Response({"admin": True}, cookies=[cookie])

    @get("/admin/whoami", summary="Whether this browser may change things")
    async def whoami(
        self, request: Request[None, None, State], admin_key: NamedDependency[AdminKey]
    ) -> dict[str, bool]:
        return {"admin": is_admin(request, admin_key)}

    @get("/dashboard/api/traces", summary="The last requests, newest first")
    async def traces(
        self,
        store: NamedDependency[Store],
        limit: FromQuery[int] = 50,
        request_id: FromQuery[str | None] = None,
        model: FromQuery[str | None] = None,
        node_id: FromQuery[str | None] = None,
        tag: FromQuery[str | None] = None,
        status: FromQuery[str | None] = None,
    ) -> dict[str, list[dict[str, Any]]]:
        limit = max(1, min(limit, 1000))
        traces = await queries.recent_traces(
            store, limit=limit, request_id=request_id, model=model, node_id=node_id, tag=tag, status=status
        )
        return {"traces": [_public(trace) for trace in traces]}

    @get("/dashboard/api/overview", summary="Totals over all time")
    async def overview(self, store: NamedDependency[Store]) -> queries.Totals:
        return await queries.overview_totals(store)


async def _drained(intake: Intake, node_id: str, drained: bool) -> dict[str, str]:
    if not await intake.drain(node_id, drained):
        raise NotFound(f"no node called {node_id} is known")
    return {"status": "draining" if drained else "resumed", "node_id": node_id}


def _public(trace: TraceRecord) -> dict[str, Any]:
    """The trace with the ``id`` by which dashboards tell rows apart; a request leaves one row, so its own id does."""
    return {"id": trace.request_id, **msgspec.structs.asdict(trace)}


def is_admin(request: Request[None, None, State], key: AdminKey) -> bool:
    """One place reads credentials: bearer token, cookie, or the key in the base URL (checked by the gate)."""
    if request.scope.get("herd_admin"):
        return True
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.opens(token.strip()):
        return True
    return key.proves(request.cookies.get(COOKIE, ""))


def require_admin(request: Request[None, None, State], admin_key: NamedDependency[AdminKey]) -> Admin:
    """The provider behind ``admin: Admin``. Raises ``Unauthorized``."""
    if not is_admin(request, admin_key):
        raise Unauthorized("this needs the admin token", hint=_HINTS[request.scope["path"].startswith("/api/")])
    return Admin()


def keeper_where(open_models: bool) -> Callable[..., Admin]:
    """What makes the provider behind ``keeper: Admin``, who may change models: the administrator, or everybody."""

    def require_keeper(request: Request[None, None, State], admin_key: NamedDependency[AdminKey]) -> Admin:
        return Admin() if open_models else require_admin(request, admin_key)

    return require_keeper


_HINTS = {
    False: "`herd run` prints a link that carries it",
    True: "set OLLAMA_HOST=http://ROUTER:PORT/key/TOKEN; the token is in `admin-token` in the router's data folder",
}
