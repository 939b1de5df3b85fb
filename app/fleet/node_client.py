"""The only HTTP towards nodes: the data plane over ``Upstream``, questions to engines over httpx. Knows no dialect."""

import asyncio
from collections.abc import Collection

import httpx

from app.errors import EngineFailed, ModelAbsent, NodeUnreachable
from app.fleet.address import base_url
from app.fleet.job import Call, Route
from app.fleet.registry import Registry
from app.fleet.reply import Exchange
from app.fleet.upstream import Upstream

ASK_S = 10.0
"""Seconds an engine has to answer a question that needs no model."""
PROBE_S = 1.0
"""Seconds an engine has to show that it lives; asked twice."""
ANSWER_MOST = 32 * 1024 * 1024


class NodeClient:
    """Opens exchanges with engines and asks them questions. ``allowed`` are hosts that a node may name for itself."""

    def __init__(self, *, registry: Registry, connect_timeout_s: float, allowed: Collection[str]) -> None:
        self._registry = registry
        self._allowed = frozenset(allowed)
        self._upstream = Upstream(connect_timeout_s=connect_timeout_s)
        self._http = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(ASK_S, connect=connect_timeout_s))

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
            content_type=call.content_type,
        )

    async def ask(self, node_id: str, engine: str, path: str, body: bytes) -> bytes:
        """POST a question to an engine; its JSON answer. Raises ``ModelAbsent`` on 404, else a ``NodeFailed``."""
        url, headers = self.route_url(node_id, engine)
        try:
            async with self._http.stream(
                "POST", url + path, content=body, headers={**dict(headers), "content-type": "application/json"}
            ) as answer:
                text = await _bounded(answer)
        except httpx.HTTPError as error:
            raise NodeUnreachable(f"{node_id}: {type(error).__name__}") from error
        if answer.status_code == 404:
            raise ModelAbsent(f"{node_id} does not have the model")
        if answer.status_code >= 400:
            raise EngineFailed(f"{node_id} answered {answer.status_code}")
        return text

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


async def _bounded(answer: httpx.Response) -> bytes:
    pieces, size = [], 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > ANSWER_MOST:
            raise EngineFailed("the engine's answer is too large")
        pieces.append(piece)
    return b"".join(pieces)
