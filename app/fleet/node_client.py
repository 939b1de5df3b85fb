"""The only HTTP towards nodes: the data plane over ``Upstream``, questions to engines over httpx. Knows no dialect."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import httpx

from app.errors import EngineFailed, ModelAbsent, NodeUnreachable, StreamBroken
from app.fleet.address import base_url, door_url
from app.fleet.job import Call, Route
from app.fleet.registry import Registry
from app.fleet.reply import Exchange
from app.fleet.upstream import Upstream

ASK_S = 10.0
"""Seconds an engine has to answer a question that needs no model."""
PROBE_S = 1.0
"""Seconds an engine has to show that it lives; asked twice."""
ANSWER_MOST = 32 * 1024 * 1024
WRITE_S = 60.0
"""Seconds an engine may leave a body unread."""


class Answer:
    """An engine's answer whose body is yet to be read."""

    def __init__(self, node_id: str, answer: httpx.Response) -> None:
        self._node_id = node_id
        self._answer = answer
        self.status = answer.status_code
        self.content_type = answer.headers.get("content-type", "application/json")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ``StreamBroken``."""
        try:
            async for piece in self._answer.aiter_raw():
                yield piece
        except httpx.HTTPError as error:
            raise StreamBroken(f"{self._node_id} broke off its answer: {type(error).__name__}") from error

    async def whole(self) -> bytes:
        return await _bounded(self.pieces())


class NodeClient:
    """Opens exchanges with engines and asks them questions. ``allowed`` are hosts that a node may name for itself."""

    def __init__(self, *, registry: Registry, connect_timeout_s: float, allowed: Collection[str]) -> None:
        self._registry = registry
        self._allowed = frozenset(allowed)
        self._upstream = Upstream(connect_timeout_s=connect_timeout_s)
        self._http = httpx.AsyncClient(
            trust_env=False,
            timeout=httpx.Timeout(ASK_S, connect=connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
        self._patient = httpx.Timeout(None, connect=connect_timeout_s, write=WRITE_S)

    async def aclose(self) -> None:
        await self._upstream.aclose()
        await self._http.aclose()

    def route_url(self, node_id: str, engine: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Base URL of an engine and the headers of that way. Raises ``NodeUnreachable`` when it is gone."""
        node = self._registry.node(node_id)
        report = node.engine(engine) if node is not None else None
        if node is None or report is None:
            raise NodeUnreachable(f"{node_id} has left the fleet")
        return base_url(node.heartbeat, report, node.peer, self._allowed)

    def open(self, route: Route, call: Call) -> Exchange:
        return self._upstream.open(
            route.url + call.path,
            method=call.method,
            headers=route.headers,
            body=call.body,
            upload=call.upload,
            content_type=call.content_type,
        )

    async def ask(
        self, node_id: str, engine: str, path: str, body: bytes = b"", *, method: str = "POST", timeout_s: float = ASK_S
    ) -> bytes:
        """Put a question to an engine; its answer. Raises ``ModelAbsent`` on 404, else a ``NodeFailed``."""
        try:
            async with asyncio.timeout(timeout_s), self.stream(node_id, engine, method, path, body) as answer:
                text = await answer.whole()
        except TimeoutError as error:
            raise NodeUnreachable(f"{node_id} did not answer in {timeout_s:g} s") from error
        if answer.status == 404:
            raise ModelAbsent(f"{node_id} does not have the model")
        if answer.status >= 400:
            raise EngineFailed(f"{node_id} answered {answer.status}")
        return text

    @asynccontextmanager
    async def stream(
        self,
        node_id: str,
        engine: str,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes],
        *,
        length: int | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[Answer]:
        """A request without a deadline, whose body and answer may be of any size: neither is held in memory.

        A body whose ``length`` is not known travels in chunks. Raises ``NodeUnreachable``.
        """
        url, way = self.route_url(node_id, engine)
        headers = {**dict(way), "accept-encoding": "identity"}
        if body:
            headers["content-type"] = content_type
        if length is not None:
            headers["content-length"] = str(length)
        request = self._http.build_request(
            method, url + path, content=body or None, headers=headers, timeout=self._patient
        )
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise NodeUnreachable(f"{node_id}: {type(error).__name__}") from error
        try:
            yield Answer(node_id, answer)
        finally:
            await answer.aclose()

    async def knock(self, node_id: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Ask the node itself, at its door: status and body of the answer. Raises ``NodeUnreachable``."""
        node = self._registry.node(node_id)
        if node is None:
            raise NodeUnreachable(f"{node_id} has left the fleet")
        door, headers = door_url(node.heartbeat, node.peer, self._allowed)
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._http.request(method, door + path, content=body or None, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise NodeUnreachable(f"{node_id}: {type(error).__name__}") from error
        return answer.status_code, answer.content

    async def alive(self, url: str, headers: tuple[tuple[str, str], ...]) -> bool:
        """Whether the engine answers anything at all on a fresh connection; asked twice, a second each."""
        for _ in range(2):
            try:
                async with asyncio.timeout(PROBE_S):
                    answer = await self._http.get(url + "/", headers=[*headers, ("connection", "close")])
            except (httpx.HTTPError, TimeoutError):
                continue
            if answer.status_code not in (502, 504):
                return True
        return False


async def _bounded(pieces: AsyncIterator[bytes]) -> bytes:
    kept, size = [], 0
    async for piece in pieces:
        size += len(piece)
        if size > ANSWER_MOST:
            raise EngineFailed("the engine's answer is too large")
        kept.append(piece)
    return b"".join(kept)
