"""Asking an engine over HTTP, within bounds of time and size; what goes wrong is an EngineError. Knows no engine."""

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from node.engines.base import EngineAway, EngineError, EngineRefused, EngineSilent
from node.engines.reading import mapping

BODY_LIMIT = 8 * 1024 * 1024
TIMEOUT_S = 2.5


class Said(msgspec.Struct, frozen=True):
    """An engine's answer: status, headers (names in lower case) and body, decoded if it is JSON (else None)."""

    status: int
    headers: Mapping[str, str]
    value: Any
    body: bytes = b""


async def ask(
    http: httpx.AsyncClient,
    url: str,
    *,
    method: str = "GET",
    body: Any = None,
    content_type: str = "application/json",
    timeout_s: float = TIMEOUT_S,
) -> Said:
    """Any status is an answer; a ``body`` that is no bytes goes as JSON.

    Raises ``EngineAway``, ``EngineSilent`` or ``EngineError``.
    """
    content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
    # Each question has its own connection: servers that close idle ones after 5 s would meet a heartbeat of 5 s.
    headers = {"connection": "close"} | ({"content-type": content_type} if content is not None else {})
    try:
        async with http.stream(
            method, url, content=content, headers=headers, timeout=timeout_s, follow_redirects=False
        ) as reply:
            raw = bytearray()
            async for piece in reply.aiter_bytes():
                raw += piece
                if len(raw) > BODY_LIMIT:
                    raise EngineError(f"{url} sent more than {BODY_LIMIT // 2**20} MiB.")
            heads = {name.lower(): value for name, value in reply.headers.items()}
            return Said(reply.status_code, heads, _json(raw), bytes(raw))
    except httpx.ConnectTimeout as exc:
        raise EngineAway(f"{url} does not take connections.") from exc
    except httpx.TimeoutException as exc:
        raise EngineSilent(f"{url} did not answer within {timeout_s:g} s.") from exc
    except httpx.ConnectError as exc:
        raise EngineAway(f"Nothing listens at {url}.") from exc
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as exc:
        raise EngineError(f"{url} broke off its answer ({type(exc).__name__}).") from exc


async def ask_object(
    http: httpx.AsyncClient, url: str, *, method: str = "GET", body: Any = None, timeout_s: float = TIMEOUT_S
) -> Mapping[str, Any]:
    """The JSON object of a 200; every other answer is an ``EngineError``."""
    said = await ask(http, url, method=method, body=body, timeout_s=timeout_s)
    if said.status != 200:
        raise EngineRefused(f"{url} answered {said.status}.", said.status)
    if not isinstance(said.value, dict):
        raise EngineError(f"{url} did not answer with a JSON object.")
    return said.value


async def is_herd(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a Herd router stands at this address: an engine that is the router itself would be an endless loop."""
    try:
        said = await ask(http, url + "/fleet/status")
    except EngineError:
        return False
    return said.status == 200 and "nodes" in mapping(said.value)


def _json(raw: bytearray) -> Any:
    try:
        return msgspec.json.decode(bytes(raw))
    except (msgspec.MsgspecError, RecursionError):
        return None
