"""POST /heartbeat: a node reports itself. Knows admission and registry, not how they judge."""

import time

import msgspec
from litestar import Controller, Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from app.errors import BodyInvalid, TooLarge
from app.fleet.admission import NAME
from app.fleet.intake import Intake
from node.wire import WIRE_VERSION, Heartbeat

LETTER_MOST = 4 * 1024 * 1024
"""Largest heartbeat in bytes: a machine with a thousand models stays below a quarter of it."""


class Heartbeats(Controller):
    @post("/heartbeat", status_code=200, request_max_body_size=LETTER_MOST, summary="A node reports itself")
    async def beat(self, request: Request[None, None, State], intake: NamedDependency[Intake]) -> Response[bytes]:
        letter = decode(await request.body())
        client = request.scope.get("client")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        ack = await intake.take(
            letter,
            peer=client[0] if client else "",
            token=token.strip() if scheme.lower() == "bearer" else "",
            now=time.monotonic(),
            wall=time.time(),
        )
        status = 202 if ack.status == "waiting" else 200
        return Response(msgspec.json.encode(ack), status_code=status, media_type="application/json")


def decode(body: bytes) -> Heartbeat:
    """The letter, or a ``BodyInvalid`` that says what is wrong with it."""
    if len(body) > LETTER_MOST:
        raise TooLarge(f"a heartbeat is at most {LETTER_MOST} bytes")
    try:
        letter = msgspec.json.decode(body, type=Heartbeat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(f"not a heartbeat: {error}") from None
    if not NAME.fullmatch(letter.node_id):
        raise BodyInvalid("node_id must be 1 to 63 letters, digits, dots, dashes or underscores")
    if letter.wire > WIRE_VERSION:
        raise BodyInvalid(f"this router speaks wire version {WIRE_VERSION}, the node {letter.wire}: update the router")
    return letter
