"""Questions to engines that live in the node, as the router's form makes them. Knows no engine."""

from collections.abc import AsyncIterator
from typing import Any

import httpx

from node.engines.base import Question

PATH = "/v1/audio/transcriptions"


def form(audio: bytes | None = b"hello", name: str = "a.wav", **fields: str) -> httpx.Request:
    files = {"file": (name, audio)} if audio is not None else {"other": ("", b"")}
    return httpx.Request(
        "POST", "http://engine" + PATH, files=files, data={"response_format": "verbose_json", **fields}
    )


def question(request: httpx.Request, *, piece: int = 7, cut: int | None = None, **more: Any) -> Question:
    """The request as it comes to an engine: in pieces, and up to ``cut`` bytes only."""
    body = request.read()[:cut]

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), piece):
            yield body[at : at + piece]

    told = {"method": request.method, "path": request.url.path, "headers": dict(request.headers), "body": pieces()}
    return Question(**{**told, **more})
