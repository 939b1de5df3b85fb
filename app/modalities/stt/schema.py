"""The form that asks for a transcript, in both of its shapes. Pure; knows no engine and no job."""

import math
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from app.errors import BodyInvalid, RequestError
from app.modalities.form import File, Form

Shape = Literal["json", "text", "srt", "vtt", "verbose_json", "chunks"]
"""How the transcript is written; ``chunks`` is what ``/api/transcribe`` answers, and no ``response_format``."""
FORMATS: tuple[Shape, ...] = tuple(shape for shape in get_args(Shape) if shape != "chunks")
FILES = ("file", "audio")
"""Fields under which the recording may come."""
TEMPERATURES = (0.0, 1.0)
LANGUAGE_MOST = 40
_READ = {
    *FILES, "model", "language", "prompt", "temperature", "response_format", "stream", "timestamp_granularities[]",
    "timestamp_granularities", "metadata", "user", "tags", "tags[]",
}  # fmt: skip
_YES = ("true", "1", "yes", "on")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a form asks for. Empty words were not said; ``words``: each word's time is wanted too.

    ``ignored`` are fields that mean nothing here.
    """

    model: str
    file: File
    shape: Shape
    language: str = ""
    prompt: str = ""
    temperature: str = ""
    words: bool = False
    ignored: tuple[str, ...] = ()


def read(form: Form, *, model: str, chunks: bool) -> Asked:
    """The form, judged. ``chunks``: it came to the door that knows no other shape. Raises a ``RequestError``."""
    file = form.file
    if file is None:
        raise BodyInvalid("the form has no file", hint='put the recording into the field "file"')
    if file.content.size == 0:
        raise BodyInvalid("the file is empty")
    if _said(form, "stream").lower() in _YES:
        raise RequestError("transcripts are not streamed", hint='leave out the field "stream"')
    return Asked(
        model=model,
        file=file,
        shape="chunks" if chunks else _shape(_said(form, "response_format")),
        language=_language(_said(form, "language")),
        prompt=_said(form, "prompt"),
        temperature=_temperature(_said(form, "temperature")),
        words="word" in _granularities(form),
        ignored=tuple(dict.fromkeys(_shown(name) for name, _ in form.fields if name not in _READ)),
    )


def labels(form: Form) -> str:
    """Tags that stand in the form itself, with commas between them."""
    return ",".join(value for name in ("tags", "tags[]") for value in form.all(name))


def user(form: Form) -> msgspec.Raw | None:
    value = form.last("user")
    return None if value is None else msgspec.Raw(msgspec.json.encode(value))


def raw(form: Form, name: str) -> msgspec.Raw | None:
    """A field that holds JSON, as it is; None if it is not there or holds something else."""
    value = form.last(name)
    try:
        return None if value is None else msgspec.Raw(msgspec.json.encode(msgspec.json.decode(value)))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _said(form: Form, name: str) -> str:
    return (form.last(name) or "").strip()


def _shape(told: str) -> Shape:
    for shape in FORMATS:
        if shape == (told or "json"):
            return shape
    raise BodyInvalid(f'the field "response_format" is {_shown(told)!r}', hint=f"one of {', '.join(FORMATS)}")


def _language(told: str) -> str:
    if len(told) > LANGUAGE_MOST or not told.isprintable():
        raise BodyInvalid('the field "language" holds no language', hint="two letters name one, such as en")
    return "" if told.lower() == "auto" else told


def _temperature(told: str) -> str:
    if not told:
        return ""
    least, most = TEMPERATURES
    try:
        number = float(told)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise BodyInvalid(f'the field "temperature" is {_shown(told)!r}', hint=f"a number from {least:g} to {most:g}")
    return f"{number:g}"


def _granularities(form: Form) -> Iterable[str]:
    told = [*form.all("timestamp_granularities[]"), *form.all("timestamp_granularities")]
    for one in told:
        if one not in ("word", "segment"):
            raise BodyInvalid(f'the field "timestamp_granularities[]" is {_shown(one)!r}', hint="word or segment")
    return told


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])
