"""What an engine heard: its answer, read. Pure; knows no request and no shape of an answer of ours."""

import math

import msgspec

LATEST_S = 1e9
"""No recording is so long: a time beyond it is no time."""


class Unheard(ValueError):
    """What an engine sent is no transcript; the text says why."""


class Segment(msgspec.Struct, frozen=True):
    """A stretch of speech. Times are seconds; None where the engine tells none."""

    text: str = ""
    start: float | None = None
    end: float | None = None


class Transcript(msgspec.Struct, frozen=True):
    """``fields`` is the engine's own JSON. ``duration`` is of the recording, in seconds."""

    text: str
    language: str
    duration: float | None
    segments: tuple[Segment, ...]
    fields: dict[str, msgspec.Raw]

    @property
    def timed(self) -> tuple[Segment, ...]:
        """The segments with words in them, if it is known when all of these were said; else one over the whole length,
        if that is known."""
        spoken = tuple(one for one in self.segments if one.text.strip())
        if spoken and all(one.start is not None and one.end is not None for one in spoken):
            return spoken
        return () if self.duration is None or not self.text else (Segment(self.text, 0.0, self.duration),)

    @property
    def is_timed(self) -> bool:
        return bool(self.timed) or not self.text


class _Told(msgspec.Struct):
    text: str | None = None
    language: str | None = None
    duration: float | str | None = None
    segments: list[Segment] | None = None
    error: str | dict[str, msgspec.Raw] | None = None


def refusal(body: bytes) -> str:
    """The words of an engine that answers 200 and means an error, as whisper.cpp's server does; empty: it does not."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    if told.text is not None or told.error is None:
        return ""
    if isinstance(told.error, str):
        return told.error
    return bytes(told.error.get("message", b"")).decode("utf-8", "replace").strip('"')


def heard(body: bytes) -> Transcript:
    """The transcript that an engine's JSON is. Raises ``Unheard``."""
    try:
        told = msgspec.json.decode(body, type=_Told)
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Unheard("the engine's answer is no transcript") from error
    segments = tuple(_sensible(one) for one in told.segments or ())
    if told.text is None and told.segments is None:
        raise Unheard("the engine's answer is no transcript: it has no text")
    text = told.text if told.text is not None else "".join(one.text for one in segments)
    return Transcript(
        text=text.strip(),
        language=told.language or "",
        duration=_duration(told.duration, segments),
        segments=segments,
        fields=fields,
    )


def _duration(told: float | str | None, segments: tuple[Segment, ...]) -> float | None:
    """As the engine says, else up to the end of the last segment."""
    try:
        known = _time(None if told is None else float(told))
    except ValueError:
        known = None
    return known if known is not None else max((one.end for one in segments if one.end is not None), default=None)


def _sensible(segment: Segment) -> Segment:
    start, end = _time(segment.start), _time(segment.end)
    if start is not None and end is not None and end < start:
        end = start
    return msgspec.structs.replace(segment, start=start, end=end)


def _time(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or seconds > LATEST_S:
        return None
    return max(seconds, 0.0)
