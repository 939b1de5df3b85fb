"""A speech engine without a model: OpenAI's transcriptions and whisper.cpp's own, over a real socket. Knows no product.

    async with FakeSpeech() as fake:
        fake.text, fake.segments           what it always hears
        fake.hold = asyncio.Event()        until this is set no answer begins
        fake.refuses = ("verbose_json",)   these formats get a 400
        Sent.of(fake.requests[0])          the form that arrived: .fields, .name, .kind, .sound

Audio begins with ``RIFF`` here; anything else is refused, each server in its own way.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self

from fakes.scripted import Answer, Request, ScriptedServer, failing, replying

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(256)) * 8
SAID = "Please send the quarterly report to the whole team before Friday afternoon."
UNREADABLE = "the audio cannot be decoded"


@dataclass(frozen=True)
class Sent:
    """A form as it arrived. ``name`` and ``kind`` are the file's."""

    fields: dict[str, str] = field(default_factory=dict)
    name: str = ""
    kind: str = ""
    sound: bytes = b""

    @classmethod
    def of(cls, request: Request) -> Self:
        head = Message()
        head["content-type"] = request.header("content-type") or ""
        boundary = str(head.get_param("boundary")).encode()
        first, *parts, last = (b"\r\n" + request.body).split(b"\r\n--" + boundary)
        assert (first, last) == (b"", b"--\r\n")
        fields: dict[str, str] = {}
        name = kind = ""
        sound = b""
        for part in parts:
            lines, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            told = lines.decode()
            [field_name] = re.findall(r'[; ]name="([^"]*)"', told)
            if 'filename="' in told:
                assert field_name == "file"
                [name] = re.findall(r'filename="([^"]*)"', told)
                [kind] = re.findall(r"Content-Type: (.*)", told)
                sound = value
            else:
                fields[field_name] = value.decode()
        return cls(fields, name, kind.strip(), sound)


class FakeSpeech(ScriptedServer):
    def __init__(self, *, text: str = SAID, segments: list[dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.text = text
        self.segments = [{"id": 0, "start": 0.0, "end": 4.5, "text": " " + text}] if segments is None else segments
        self.hold: asyncio.Event | None = None
        self.refuses: tuple[str, ...] = ()

    def counts(self, request: Request) -> bool:
        return request.method == "POST"

    def respond(self, request: Request) -> Answer:
        match request.path:
            case "/v1/audio/transcriptions":
                answer = self._openai(Sent.of(request))
            case "/inference":
                answer = self._whisper(Sent.of(request))
            case _:
                return failing(404, b'{"error":"not found"}')
        answer.before = self.hold
        return answer

    def _openai(self, sent: Sent) -> Answer:
        shape = sent.fields.get("response_format", "json")
        if shape in self.refuses:
            return _refused(f"response_format {shape} is not supported")
        if not sent.sound.startswith(b"RIFF"):
            return _refused(UNREADABLE)
        return replying(self._verbose() if shape == "verbose_json" else {"text": self.text})

    def _whisper(self, sent: Sent) -> Answer:
        if not sent.sound.startswith(b"RIFF"):
            return replying({"error": "failed to read audio data"})  # with 200, as that server does
        assert sent.fields["response_format"] == "verbose_json"
        return replying(self._verbose())

    def _verbose(self) -> dict[str, Any]:
        return {
            "task": "transcribe", "language": "en", "duration": 4.5, "text": " " + self.text, "segments": self.segments,
        }  # fmt: skip


def _refused(words: str) -> Answer:
    error = {"message": words, "type": "invalid_request_error", "code": None, "param": None}
    return failing(400, json.dumps({"error": error}).encode())
