"""Ollama's knobs in OpenAI's words: options, format, think, images. Pure; knows no message, no answer and no node."""

import base64
import binascii

import msgspec

from app.errors import BodyInvalid
from app.modalities import body as bodies
from app.modalities.body import Fields

SAMPLING = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "typical_p": ("typical_p",),
    "seed": ("seed",),
    "stop": ("stop",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "repeat_penalty": ("repeat_penalty", "repetition_penalty"),
    "repeat_last_n": ("repeat_last_n",),
    "mirostat": ("mirostat",),
    "mirostat_tau": ("mirostat_tau",),
    "mirostat_eta": ("mirostat_eta",),
    "num_keep": ("n_keep",),
}
"""Ollama's option and what engines of the OpenAI dialect call it (llama.cpp and vLLM differ in one)."""

_THINK: msgspec.json.Decoder[bool | str | None] = msgspec.json.Decoder(bool | str | None)
_FORMAT: msgspec.json.Decoder[str | Fields | None] = msgspec.json.Decoder(str | Fields | None)
_OPTIONS: msgspec.json.Decoder[Fields | None] = msgspec.json.Decoder(Fields | None)
_NUMBER: msgspec.json.Decoder[int | float | None] = msgspec.json.Decoder(int | float | None)
_LEVELS = ("low", "medium", "high", "max")
_IMAGE_TYPES = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"))


def options(told: Fields, notes: list[str]) -> Fields:
    """The options as top-level keys; values as written. What has no equivalent is noted. No default is added."""
    given = bodies.read(_OPTIONS, told.get("options", bodies.NULL), "options") or {}
    out: Fields = {}
    dropped = []
    for name, value in given.items():
        if bytes(value) == b"null":
            continue
        if name == "num_predict":
            number = bodies.read(_NUMBER, value, "options.num_predict")
            if number is not None and number > 0:
                out["max_tokens"] = msgspec.Raw(b"%d" % int(number))
        elif name in SAMPLING:
            for key in SAMPLING[name]:
                out[key] = value
        else:
            dropped.append("".join(c for c in name[:40] if c.isprintable()))
    if dropped:
        notes.append(f"options.dropped {', '.join(sorted(dropped)[:10])}")
    return out


def response_format(raw: msgspec.Raw | None) -> dict[str, object] | None:
    """``format`` as a ``response_format``. Raises ``BodyInvalid`` for what is neither "json" nor a schema."""
    if raw is None:
        return None
    told = bodies.read(_FORMAT, raw, "format")
    if told is None or told == "":
        return None
    if told == "json":
        return {"type": "json_object"}
    if isinstance(told, str):
        raise BodyInvalid('the field "format" must be "json" or a JSON schema')
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": raw}}


def thinking(raw: msgspec.Raw | None) -> dict[str, object]:
    """``think`` as the switches that chat templates know: on or off, or an effort."""
    told = None if raw is None else bodies.read(_THINK, raw, "think")
    if told is None or told == "":
        return {}
    if isinstance(told, bool):
        return {"chat_template_kwargs": {"enable_thinking": told}}
    if told not in _LEVELS:
        raise BodyInvalid(f'the field "think" must be true, false or one of {", ".join(_LEVELS)}')
    return effort(told)


def effort(level: str) -> dict[str, object]:
    """How hard to think, of all the levels that dialects know, as the three that most chat templates know."""
    if level == "none":
        return thinking(msgspec.Raw(b"false"))
    known = {"minimal": "low", "low": "low", "medium": "medium"}.get(level, "high")
    return {"reasoning_effort": known, "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": known}}


def picture(image: str) -> dict[str, object]:
    """A base64 image as a part of a message; its type is read off its first bytes. Raises ``BodyInvalid``."""
    text = image.partition(",")[2] if image[:5].lower() == "data:" else image
    try:
        head = base64.b64decode(text[:16], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BodyInvalid('the field "images" must hold base64 images') from error
    kind = next((name for mark, name in _IMAGE_TYPES if head.startswith(mark)), "png")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{text}"}}
