"""How the router asks for a transcript and what it is told: OpenAI's form in, OpenAI's answer out. Knows no engine.

The form is read as it comes and its file goes to disk: an upload costs no memory, however large.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from node.engines.audio_file import complaint
from node.engines.base import Answer, Question
from node.wire import model_key

P = ParamSpec("P")
T = TypeVar("T")
PATH = "/v1/audio/transcriptions"
FORM_LIMIT = 1024 * 1024 * 1024
FIELD_LIMIT = 64 * 1024
PARTS_LIMIT = 32


class Refusal(Exception):
    """Why there is no transcript: one sentence for people, a status and a word for programs."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def answer(self) -> Answer:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "code": self.code, "param": None}
        return Answer(status=self.status, body=msgspec.json.encode({"error": error}))


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be transcribed, and how. ``file_name`` is its owner's; ``temperature`` 0: as the engine likes.

    ``words``: each word's time is wanted too.
    """

    file: Path
    file_name: str = ""
    language: str = ""
    prompt: str = ""
    temperature: float = 0.0
    words: bool = False
    form: Literal["json", "verbose_json"] = "json"


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What was said. ``segments`` have at least ``id``, ``start``, ``end`` and ``text``; ``words``, if the engine has
    their times, ``word``, ``start`` and ``end``."""

    text: str
    language: str = ""
    duration: float = 0.0
    segments: tuple[Mapping[str, Any], ...] = ()
    words: tuple[Mapping[str, Any], ...] = ()


async def answered(
    question: Question, model: str, transcribe: Callable[[Speech], Awaitable[Transcript]], *, known_only: bool = False
) -> Answer:
    """The answer to a question, with whatever ``transcribe`` makes of it; ``Refusal`` becomes an error object.

    ``known_only``: only what begins as an audio file does is worth the engine's time.
    """
    if (question.method, question.path) != ("POST", PATH):
        return Refusal(f"Only POST {PATH} is answered here.", status=404, code="not_found").answer
    try:
        form = await _on_disk(Form, question.headers.get("content-type", ""))
        try:
            await _fill(form, question)
            speech = _speech(form, model)
            if why := await _on_disk(complaint, speech.file, known_only):
                raise Refusal(why, code="invalid_audio")
            return _answer(await transcribe(speech), speech.form)
        finally:
            form.remove()
    except Refusal as refusal:
        return refusal.answer


class Form:
    """A form that is fed as it comes: its audio goes to a file of its own, its other fields are kept. Blocks.

    The file is there from the start, so whoever is stopped in the middle knows what to ``remove``.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise Refusal("Send the audio as multipart/form-data.")
        self._parser = PushMultipartParser(options["boundary"], max_segment_count=PARTS_LIMIT)
        self._room = FORM_LIMIT
        self._file = NamedTemporaryFile(prefix="herd-speech-", delete=False)  # noqa: SIM115 - removed by ``remove``
        self._field: tuple[str, bytearray] | None = None
        self.path = Path(self._file.name)
        self.name: str | None = None
        self.fields: dict[str, str] = {}

    def feed(self, piece: bytes) -> None:
        self._room -= len(piece)
        if self._room < 0:
            raise Refusal(f"The form is larger than {FORM_LIMIT // 2**20} MiB.", status=413, code="too_large")
        for event in self._parser.parse(piece):
            if isinstance(event, MultipartSegment):
                self._begin(event)
            elif event is None:
                self._end()
            elif self._field is None:
                self._file.write(event)
            elif len(self._field[1]) + len(event) > FIELD_LIMIT:
                raise Refusal(f"The field {self._field[0]!r} is too long.")
            else:
                self._field[1].extend(event)

    def finish(self) -> None:
        self._parser.close()
        if self.name is None:
            raise Refusal("The field 'file' with the audio is missing.")
        self._file.close()

    def remove(self) -> None:
        """Forget the audio; whoever reads it now has read it to the end, or is no more."""
        with suppress(OSError):
            self._file.close()
            self.path.unlink()

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        if name != "file":
            self._field = (name[:64], bytearray())
        elif self.name is not None:
            raise Refusal("One file at a time: the field 'file' is there twice.")
        else:
            self.name = segment.filename or ""

    def _end(self) -> None:
        if self._field is not None:
            name, value = self._field
            said = value.decode("utf-8", "replace")
            self.fields[name] = f"{self.fields[name]},{said}" if name in self.fields else said
            self._field = None


async def _fill(form: Form, question: Question) -> None:
    """Read the form to its end. Raises ``Refusal``, and whatever the body raises."""
    try:
        async for piece in question.body:
            await _on_disk(form.feed, piece)
        await _on_disk(form.finish)
    except MultipartError as error:
        raise Refusal(f"The form cannot be read: {error}.") from None


async def _on_disk(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Do what blocks, in a thread. Raises ``Refusal`` for a disk that takes no more."""
    try:
        return await asyncio.to_thread(work, *args, **more)
    except OSError as error:
        why = f"The audio cannot be kept on this node: {error.strerror}."
        raise Refusal(why, status=503, code="no_room") from error


def _speech(form: Form, model: str) -> Speech:
    fields = form.fields
    wanted = fields.get("model", "").strip()
    if wanted and model_key(wanted) != model_key(model):
        raise Refusal(f"The model {wanted[:80]!r} is not here.", status=404, code="model_not_found")
    match fields.get("response_format", "").strip() or "json":
        case "json" | "verbose_json" as shape:
            pass
        case other:
            raise Refusal(f"response_format {other[:40]!r} is none of json and verbose_json.")
    return Speech(
        file=form.path,
        file_name=form.name or "",
        language=fields.get("language", "").strip(),
        prompt=fields.get("prompt", ""),
        temperature=_temperature(fields.get("temperature", "").strip() or "0"),
        words="word" in fields.get("timestamp_granularities[]", "").split(","),
        form=shape,
    )


def _temperature(told: str) -> float:
    try:
        value = float(told)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Refusal("temperature is a number from 0 to 1.")
    return value


def _answer(transcript: Transcript, form: str) -> Answer:
    if form == "json":
        return Answer(body=msgspec.json.encode({"text": transcript.text}))
    whole = {
        "task": "transcribe",
        "language": transcript.language,
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": transcript.segments,
    }
    return Answer(body=msgspec.json.encode(whole | ({"words": transcript.words} if transcript.words else {})))
