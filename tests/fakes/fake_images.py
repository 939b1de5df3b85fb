"""An engine that makes pictures, without a model: PNGs of one grey, of the size asked for. Knows no product code.

    async with FakeImages() as fake:                     # speaks OpenAI's images, as the node's own engines do
        fake.size = (496, 496)                           # paints another size than it is asked for
        fake.made = 1                                    # makes fewer pictures than it is asked for
        fake.hold = asyncio.Event()                      # stops every picture until it is set
It also answers as stable-diffusion.cpp's server (``/sdapi/v1/txt2img``) and as an Ollama with an image model
(``/api/generate``). Everything of scripted.py works here too.
"""

import asyncio
import base64
import json
import struct
import zlib
from typing import Any

from fakes.scripted import Answer, Request, ScriptedServer, failing, replying


def png(width: int, height: int, grey: int = 128) -> bytes:
    """A whole PNG file of one grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + bytes([grey]) * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", picture[16:24])  # type: ignore[return-value]


class FakeImages(ScriptedServer):
    """``size`` and ``made`` overrule what is asked for."""

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.size: tuple[int, int] | None = None
        self.made: int | None = None
        self.hold: asyncio.Event | None = None

    def counts(self, request: Request) -> bool:
        return request.method == "POST"

    def respond(self, request: Request) -> Answer:
        asked = json.loads(request.body or b"{}")
        match request.method, request.path:
            case "POST", "/v1/images/generations":
                width, _, height = asked.get("size", "1024x1024").partition("x")
                pictures = self._pictures(int(width), int(height), asked.get("n", 1))
                return self._held({"created": 1, "data": [{"b64_json": picture} for picture in pictures]})
            case "POST", "/sdapi/v1/txt2img":
                pictures = self._pictures(asked["width"], asked["height"], asked["batch_size"])
                return self._held({"images": pictures, "parameters": asked, "info": ""})
            case "POST", "/api/generate":
                [picture] = self._pictures(asked["width"], asked["height"], 1)
                return self._held({"model": asked["model"], "image": picture, "done": True, "done_reason": "stop"})
        return failing(404, b'{"error":{"message":"no such path","type":"invalid_request_error","code":"unknown_url"}}')

    def _pictures(self, width: int, height: int, count: int) -> list[str]:
        made = png(*(self.size or (width, height)))
        return [base64.b64encode(made).decode()] * (count if self.made is None else self.made)

    def _held(self, told: dict[str, Any]) -> Answer:
        answer = replying(told)
        answer.before = self.hold
        return answer
