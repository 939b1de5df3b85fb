"""The beginning of an engine's answer: what may go to the client, and what a refusal means. Knows no queue and no slot.

Until then another node may still answer, so everything that speaks against this one is raised as a ``HerdError``.
"""

import re

import msgspec

from app.errors import EngineBusy, EngineFailed, EngineRejected, HerdError, ModelGone, StreamBroken
from app.fleet.job import Call, Route
from app.fleet.reply import Exchange

OURS = (401, 403, 407, 408)
"""What an engine or a door refuses is the router itself: a client has no part in that, and another node may do."""
_CLIENTS = re.compile(r'invalid format: |option "[^"]*" must be of type ')
"""How an Ollama begins when it answers 500 although the request is at fault, not the engine."""
_TOO_LONG = re.compile(
    r"input \(\d+ tokens\) is too large to process|input (length )?exceeds (the |maximum )*context length"
)
"""What an engine says of a text that is longer than it can take: llama.cpp with a 500, an older Ollama too."""


async def first_of_stream(exchange: Exchange, call: Call, route: Route) -> bytes:
    """The first bytes that may go to the client. Until then another node may still answer."""
    meter = call.meter
    while True:
        piece = await exchange.piece()
        out = meter.feed(piece) if piece else meter.finish()
        if meter.refusal is not None:
            raise EngineFailed(f"{route.node_id}: {meter.refusal}")
        if out:
            return out
        if not piece:
            raise StreamBroken(f"{route.node_id} closed the connection without an answer")


async def whole(exchange: Exchange, call: Call, route: Route) -> bytes:
    """An answer that is not streamed, complete or not at all."""
    meter = call.meter
    body = await exchange.whole(call.most_bytes)
    out = meter.feed(body) + meter.finish()
    if meter.refusal is not None:
        raise EngineFailed(f"{route.node_id}: {meter.refusal}")
    if not meter.complete:
        raise StreamBroken(f"{route.node_id} ended its answer before it was complete")
    return out


async def plainer(exchange: Exchange, call: Call, route: Route) -> Call:
    """What to ask instead of an engine that refused the call. Raises what its refusal means, if there is nothing."""
    error = await refused(exchange, route)
    instead = call.plainer(error) if call.plainer is not None and isinstance(error, EngineRejected) else None
    if instead is None:
        raise error
    return instead


async def refused(exchange: Exchange, route: Route) -> HerdError:
    """What an error status of the engine means for the job."""
    body = await exchange.whole(1024 * 1024)
    words = _words(body) or f"status {exchange.status}"
    text = f"{route.node_id}: {words}"
    if _TOO_LONG.search(words):
        return EngineRejected(400, words)
    if exchange.status in (429, 503):
        return EngineBusy(text, retry_after_s=5)
    if exchange.status in OURS or (exchange.status >= 500 and not _CLIENTS.match(words)):
        return EngineFailed(text)
    if exchange.status == 404 and "model" in words.lower():
        return ModelGone(text)
    return EngineRejected(exchange.status, words, body=body, content_type=exchange.content_type)


class _Said(msgspec.Struct):
    """``detail`` is how servers built with FastAPI refuse: words, or what is wrong with each field."""

    error: str | dict[str, object] = ""
    detail: str | list[dict[str, object]] = ""


def _words(body: bytes) -> str:
    """The engine's own message, in whichever dialect it speaks; at most 500 characters."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = said.error if isinstance(said.error, str) else str(said.error.get("message", ""))
    fields = said.detail if isinstance(said.detail, list) else []
    message = error or "; ".join(str(one.get("msg", "")) for one in fields) or str(said.detail or "")
    return "".join(c if c.isprintable() else " " for c in message)[:500]
