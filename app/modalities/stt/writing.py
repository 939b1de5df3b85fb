"""A transcript in each of the shapes that clients ask for. Pure; knows no engine."""

from collections.abc import Callable

import msgspec

from app.modalities.stt.schema import Shape
from app.modalities.stt.transcript import Transcript

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
Write = Callable[[Transcript], bytes]

_encode = msgspec.json.Encoder().encode


def written(shape: Shape, heard: Transcript) -> tuple[bytes, str]:
    """The transcript in this shape, and the content type of that."""
    write, kind = _SHAPES[shape]
    return write(heard), kind


def needs_times(shape: Shape) -> bool:
    """Whether this shape is nothing without knowing when what was said."""
    return shape in ("srt", "vtt")


def _json(heard: Transcript) -> bytes:
    return _encode({"text": heard.text})


def _text(heard: Transcript) -> bytes:
    return f"{heard.text}\n".encode()


def _verbose(heard: Transcript) -> bytes:
    """The engine's own words, with what it left out."""
    segments = [
        {"id": number, "start": one.start, "end": one.end, "text": one.text} for number, one in enumerate(heard.timed)
    ]
    ours = {
        "task": "transcribe", "language": heard.language, "duration": heard.duration, "text": heard.text,
        "segments": segments,
    }  # fmt: skip
    return _encode({**ours, **{name: value for name, value in heard.fields.items() if bytes(value) != b"null"}})


def _chunks(heard: Transcript) -> bytes:
    """What ``/api/transcribe`` answers: each stretch of speech by itself."""
    return _encode(
        {
            "text": heard.text,
            "language": heard.language,
            "chunks": [
                {
                    "text": one.text.strip(),
                    "start": one.start,
                    "end": one.end,
                    "chunk_index": number,
                    "language": heard.language,
                }
                for number, one in enumerate(heard.timed or heard.segments)
            ],
        }
    )


def _srt(heard: Transcript) -> bytes:
    cues = []
    for number, one in enumerate(heard.timed, start=1):
        cues.append(f"{number}\n{_clock(one.start, ',')} --> {_clock(one.end, ',')}\n{_lines(one.text)}\n\n")
    return "".join(cues).encode()


def _vtt(heard: Transcript) -> bytes:
    cues = ["WEBVTT\n\n"]
    for one in heard.timed:
        text = _lines(one.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}\n{text}\n\n")
    return "".join(cues).encode()


def _clock(seconds: float | None, point: str) -> str:
    """``3661.5`` -> ``01:01:01,500``."""
    left, millis = divmod(round((seconds or 0.0) * 1000), 1000)
    left, secs = divmod(left, 60)
    hours, minutes = divmod(left, 60)
    return f"{hours:02}:{minutes:02}:{secs:02}{point}{millis:03}"


def _lines(text: str) -> str:
    """What was said without empty lines: one of these would end the cue."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


_SHAPES: dict[Shape, tuple[Write, str]] = {
    "json": (_json, JSON),
    "text": (_text, TEXT),
    "srt": (_srt, TEXT),
    "vtt": (_vtt, "text/vtt; charset=utf-8"),
    "verbose_json": (_verbose, JSON),
    "chunks": (_chunks, JSON),
}
