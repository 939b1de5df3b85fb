"""The models of the fleet as Ollama's clients change them: pull, push, create, copy, delete. Knows no engine.

Each handler needs the admin token, unless everybody may (``open_models``): the dependency ``keeper``.
"""

import re
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from app.api.errand import NDJSON, Errand, Outlet, Upload, error_line
from app.api.trust import Admin
from app.errors import BodyInvalid, ModelMissing, NotFound
from app.fleet.pulls import Pulls
from app.fleet.upkeep import Done, NewModel, Upkeep

NAME_MOST = 400
"""Longest model name, in characters."""
RECIPE_MOST = 8 * 1024 * 1024
"""Largest description of a new model, in bytes: licences and examples are in it, files are not."""
DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
T = TypeVar("T")
Asking = Request[None, None, State]


class Named(msgspec.Struct):
    """What a request about one model says; ``node_id`` is our own word for one node among those who could be meant."""

    name: str = ""
    model: str = ""
    node_id: str = ""
    stream: bool = True
    insecure: bool = False


class CopyRequest(msgspec.Struct):
    source: str = ""
    destination: str = ""
    node_id: str = ""


class Keeping(Controller):
    @post("/api/pull", status_code=200, summary="Bring a model to a node (admin)")
    async def pull(self, request: Asking, pulls: NamedDependency[Pulls], keeper: NamedDependency[Admin]) -> Errand:
        asked = _read(await request.body(), Named)
        name, node_id = _name(asked.name or asked.model), _node(request, asked.node_id)

        async def work(outlet: Outlet) -> None:
            pull = pulls.want(name, node_id=node_id, insecure=asked.insecure)
            listener = pulls.listen(pull)
            try:
                line = await listener.next()
                while line and not asked.stream:
                    line = await listener.next()
                if pull.error is not None and not line:
                    raise pull.error
                if not asked.stream:
                    await outlet.whole(200, {"status": "success"}, pull.node_id)
                    return
                await outlet.start(200, NDJSON, pull.node_id)
                while line:
                    await outlet.piece(line)
                    line = await listener.next()
                await outlet.end(error_line(pull.error) if pull.error and not pull.told_error else b"")
            finally:
                pulls.deafen(pull, listener)
                pulls.leave(pull)

        return Errand(work)

    @post("/api/push", status_code=200, summary="Push a model to a registry, from a node that holds it (admin)")
    async def push(self, request: Asking, upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]) -> Errand:
        body = await request.body()
        asked = _read(body, Named)
        name, node_id = _name(asked.model or asked.name), _node(request, asked.node_id)

        async def work(outlet: Outlet) -> None:
            place = upkeep.holder(name, "push", node_id)
            async with upkeep.forward(place, "/api/push", _theirs(body)) as answer:
                await outlet.relay(answer, place.node_id)

        return Errand(work)

    @post(
        "/api/create",
        status_code=200,
        request_max_body_size=RECIPE_MOST,
        summary="Make a model where its parts are (admin)",
    )
    async def create(self, request: Asking, upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]) -> Errand:
        body = await request.body()
        new, named = _read(body, NewModel), _read(body, Named)
        name, node_id = _name(new.model or new.name), _node(request, named.node_id)
        for digest in new.digests:
            _digest(digest)
        client = _client(request)

        async def work(outlet: Outlet) -> None:
            place = await upkeep.home(new, client, node_id)
            async with upkeep.forward(place, "/api/create", _theirs(body)) as answer:
                await outlet.relay(answer, place.node_id, lambda: upkeep.made(place, name))

        return Errand(work)

    @get("/api/blobs/{digest:str}", summary="Whether a blob is there (HEAD; admin)")
    async def has_blob(
        self, request: Asking, digest: FromPath[str], upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]
    ) -> Response[None]:
        place = await upkeep.blob_at(_client(request), _digest(digest), _node(request))
        if place is None:
            raise NotFound(f"blob {digest!r} not found")
        return Response(None, headers={"X-Fleet-Node": place.node_id})

    @post("/api/blobs/{digest:str}", status_code=201, summary="Send a file of a model to come (admin)")
    async def send_blob(
        self, request: Asking, digest: FromPath[str], upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]
    ) -> Upload:
        digest, client, node_id = _digest(digest), _client(request), _node(request)
        told = request.headers.get("content-length", "")
        length = int(told) if told.isdigit() else None

        async def carry(outlet: Outlet, body: AsyncIterator[bytes]) -> None:
            place = upkeep.bench(client, node_id=node_id, size_bytes=length)
            if await upkeep.has_blob(place, digest):  # the engine would say so at once, and hang up on all the rest
                async for _ in body:
                    pass
                await outlet.start(200, "application/json", place.node_id)
                await outlet.end()
                return
            async with upkeep.forward(place, f"/api/blobs/{digest}", body, length=length) as answer:
                await outlet.relay(answer, place.node_id)

        return Upload(carry)

    @post("/api/copy", status_code=200, summary="Give a model a second name, wherever it is (admin)")
    async def copy(self, request: Asking, upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]) -> Errand:
        asked = _read(await request.body(), CopyRequest)
        source, destination = _name(asked.source, "source"), _name(asked.destination, "destination")
        node_id = _node(request, asked.node_id)

        async def work(outlet: Outlet) -> None:
            await _tell(outlet, await upkeep.copy(source, destination, node_id))

        return Errand(work)

    @delete("/api/delete", status_code=200, summary="Delete a model wherever it is, or on one node (admin)")
    async def delete(self, request: Asking, upkeep: NamedDependency[Upkeep], keeper: NamedDependency[Admin]) -> Errand:
        asked = _read(await request.body(), Named)
        name, node_id = _name(asked.model or asked.name), _node(request, asked.node_id)

        async def work(outlet: Outlet) -> None:
            await _tell(outlet, await upkeep.delete(name, node_id))

        return Errand(work)


async def _tell(outlet: Outlet, done: Done) -> None:
    await outlet.whole(200, done, ", ".join(done.nodes))


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(f"the body is not valid: {error}") from None


def _theirs(body: bytes) -> bytes:
    """The body without our own word."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(fields) if fields.pop("node_id", None) is not None else body


def _name(name: str, what: str = "model") -> str:
    if not name.strip():
        raise ModelMissing(f"{what} is required")
    if len(name) > NAME_MOST or not name.isprintable():
        raise BodyInvalid(f"{what} is no name of a model")
    return name.strip()


def _node(request: Asking, said: str = "") -> str:
    """The one node that is meant, from the body, the query or a header; empty: the router chooses."""
    return said or request.query_params.get("node_id", "") or request.headers.get("x-fleet-node", "")


def _digest(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise BodyInvalid(f"{digest[:100]!r} is no digest")
    return digest


def _client(request: Asking) -> str:
    client = request.scope.get("client")
    return client[0] if client else ""
