"""Reads JSON bodies: the top level as written, a typed view of it, the model's name. Pure; knows no modality.

Every error names the field that is wrong.
"""

from typing import Any, TypeVar

import msgspec

from app.errors import BodyInvalid, ModelMissing

Fields = dict[str, msgspec.Raw]
T = TypeVar("T")
NAME_LENGTH_MOST = 200
NOTHING = msgspec.Raw(b"")
NULL = msgspec.Raw(b"null")


def given(raw: msgspec.Raw) -> bool:
    """Whether the field is there and not null."""
    return len(raw) > 0 and (len(raw) != len("null") or bytes(raw) != b"null")


def within(raw: msgspec.Raw, key: str) -> bytes:
    """What stands under a key of an object; empty if there is no such thing."""
    try:
        return bytes(_decode_fields(raw).get(key, b"")) if given(raw) else b""
    except _WRONG:
        return b""


def is_zero(keep_alive: msgspec.Raw | None) -> bool:
    """Whether a ``keep_alive`` lets the model go at once: 0, or a duration of nothing."""
    return keep_alive is not None and bytes(keep_alive).strip(b'"') in _ZEROS


_ZEROS = (b"0", b"0.0", b"0s", b"0m", b"0h", b"0ms")
_decode_fields = msgspec.json.Decoder(Fields).decode
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)
_MISSING = "Object missing required field"


def fields_of(body: bytes) -> Fields:
    """The body's top level, its values as written. Raises ``BodyInvalid``."""
    if not body.strip():
        raise BodyInvalid("the body is empty")
    try:
        if not body.isascii():
            body.decode()
        return _decode_fields(body)
    except _WRONG as error:
        raise BodyInvalid(_sentence(error)) from error


def read(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, within: str = "") -> T:
    """The body as the decoder's type. Raises ``BodyInvalid`` that names the field; ``within`` is its place."""
    try:
        return decoder.decode(body)
    except _WRONG as error:
        raise BodyInvalid(_sentence(error, within)) from error


def model_of(told: str | None) -> str:
    """The model that a request names. Raises ``ModelMissing`` or ``BodyInvalid``."""
    if not told or not told.strip():
        raise ModelMissing("no model was named", hint='put its name into the field "model"')
    judge_name("model", told)
    return told


def judge_name(field: str, name: str) -> None:
    """Raises ``BodyInvalid`` for what can be no model's name."""
    if len(name) > NAME_LENGTH_MOST:
        raise BodyInvalid(f'the field "{field}" holds a name of more than {NAME_LENGTH_MOST} characters')
    if not name.strip() or not name.isprintable():
        raise BodyInvalid(f'the field "{field}" holds a name that is empty or has characters that cannot be printed')


def _sentence(error: Any, within: str = "") -> str:
    """What is wrong with the body, for people; names the field where there is one."""
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    if isinstance(error, UnicodeError):
        return "the body is not valid UTF-8"
    reason, _, path = str(error).partition(" - at `")
    field = f"{within}.{path.rstrip('`').removeprefix('$').removeprefix('.')}".strip(".")
    if isinstance(error, msgspec.ValidationError):
        if reason.startswith(_MISSING):
            return f'the field "{field}{"." * bool(field)}{reason.removeprefix(_MISSING).strip("` ")}" is missing'
        if not field:
            return f"the body must be a JSON object: {reason}"
        return f'the field "{field}" is of a wrong type: {reason.replace("`", "")}'
    return f"the body is not valid JSON: {reason}"
