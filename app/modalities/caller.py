"""Who asks: what the head of a request says of its client. Pure; knows no body."""

from collections.abc import Mapping
from typing import Any

import msgspec

AGENT_LENGTH_MOST = 200


class Caller(msgspec.Struct, frozen=True):
    """``tags`` is the header in which a client may tag its requests, as it came."""

    address: str = ""
    user_agent: str = ""
    tags: str = ""
    headers: Mapping[bytes, bytes] = {}


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """The caller of an ASGI request."""
    client = scope.get("client")
    heads = dict(scope["headers"])
    return Caller(
        address=client[0] if client else "",
        user_agent=heads.get(b"user-agent", b"")[:AGENT_LENGTH_MOST].decode("latin-1"),
        tags=heads.get(b"x-herd-tags", b"").decode("latin-1"),
        headers=heads,
    )
