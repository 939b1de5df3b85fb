"""Speaking with a router: who it is, and one heartbeat with its answer. Knows no engine and keeps no memory."""

import asyncio
import time
from typing import TypeAlias

import httpx
import msgspec

from node.wire import Heartbeat, HeartbeatAck

TIMEOUT_S = 5.0
IDENTIFY_S = 3.0
FRESH = {"connection": "close"}
"""Each question has a connection of its own: a kept one is dead once either machine has slept or moved, and says so
only when the time for an answer is over."""
ANSWER_MOST = 64 * 1024
"""Bytes of an answer that are read; a router's are below a hundredth of it."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A router that answered. ``fleet_id`` is never empty."""

    url: str
    fleet_id: str
    version: str = ""


class NoRouter(Exception):
    """Nothing there that calls itself a router; the text says what was met instead."""


class Accepted(msgspec.Struct, frozen=True):
    ack: HeartbeatAck


class Waiting(msgspec.Struct, frozen=True):
    """Heard, but not admitted; ``ack.hint`` says what lets the node in."""

    ack: HeartbeatAck


class Refused(msgspec.Struct, frozen=True):
    status: int
    why: str


class Unreachable(msgspec.Struct, frozen=True):
    why: str


Answer: TypeAlias = Accepted | Waiting | Refused | Unreachable


class _Health(msgspec.Struct):
    fleet_id: str
    version: str = ""


class Link:
    """``http`` belongs to the caller."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def identify(self, url: str) -> Identity:
        """Ask who listens at ``url``. Raises ``NoRouter``."""
        try:
            status, body = await self._ask("GET", url + "/healthz", timeout_s=IDENTIFY_S)
        except httpx.HTTPError as error:
            raise NoRouter(_told(error)) from error
        if status != 200:
            raise NoRouter(f"it answered {status}: {_reason(body)}")
        try:
            health = msgspec.json.decode(body, type=_Health)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise NoRouter("what listens there is no router of Herd") from None
        if not health.fleet_id:
            raise NoRouter("what listens there names no fleet")
        return Identity(url=url, fleet_id=health.fleet_id, version=health.version)

    async def beat(self, url: str, token: str, heartbeat: Heartbeat) -> Answer:
        """One heartbeat. Never raises for what the router or the network does."""
        heartbeat = msgspec.structs.replace(heartbeat, sent_at=time.time())
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        body = msgspec.json.encode(heartbeat)
        try:
            status, said = await self._ask(
                "POST", url + "/heartbeat", content=body, headers=headers, timeout_s=TIMEOUT_S
            )
        except httpx.HTTPError as error:
            return Unreachable(_told(error))
        if status not in (200, 202):
            return Refused(status, _reason(said)) if 400 <= status < 500 else Unreachable(f"it answered {status}")
        try:
            ack = msgspec.json.decode(said, type=HeartbeatAck)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Unreachable("its answer to a heartbeat makes no sense")
        return Waiting(ack) if status == 202 or ack.status == "waiting" else Accepted(ack)

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float,
    ) -> tuple[int, bytes]:
        """Raises ``httpx.HTTPError``, also when the whole answer is not there in time."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.stream(
                    method, url, content=content, headers=FRESH | (headers or {}), timeout=timeout_s,
                    follow_redirects=False,
                ) as reply,
            ):  # fmt: skip
                said = bytearray()
                async for piece in reply.aiter_bytes():
                    said += piece
                    if len(said) > ANSWER_MOST:
                        raise httpx.DecodingError(f"it sent more than {ANSWER_MOST // 1024} KiB")
                return reply.status_code, bytes(said)
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {timeout_s:g} s") from None


def _told(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _reason(body: bytes) -> str:
    """What an error's body says, in at most 300 characters."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:300].decode("utf-8", "replace").strip()
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return (error if isinstance(error, str) else str(said))[:300]
