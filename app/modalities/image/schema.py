"""What a request for pictures asks for, judged. Pure; knows no engine.

Both doors read the same fields; they differ in how the answer comes when the client does not say.
"""

import re
from typing import TypeVar

import msgspec

from app.errors import BodyInvalid, TooLarge
from app.modalities.body import Fields, fields_of, judge_name, model_of, read
from node.wire import model_key

Number = TypeVar("Number", int, float)
SIDE_LEAST, SIDE_MOST = 64, 2048
SIDE = 1024
"""Pixels of a side where the client does not say."""
STEPS_MOST = 100
PICTURES_MOST = 10
GUIDANCE_MOST = 100.0
SEED_MOST = 2**62
QUANTIZE_MOST = 32
FALLBACKS_MOST = 16
PROMPT_MOST = 8000
"""Characters. No model reads as many, and a program takes them on its command line."""
_SIZE = re.compile(r"(\d{1,5})\s*[xX]\s*(\d{1,5})", re.ASCII)
_FORMATS = ("b64_json", "png")
_IGNORED = ("quality", "style", "background", "moderation", "output_compression")
"""Of OpenAI's own models, and without a meaning for any other."""
_EXTRA = "<sd_cpp_extra_args"
"""With this in a prompt stable-diffusion.cpp's server takes its own arguments, past all bounds."""


class Body(msgspec.Struct):
    model: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    size: str | None = None
    width: int | None = None
    height: int | None = None
    n: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    quantize: int | None = None
    response_format: str | None = None
    output_format: str | None = None
    stream: bool | None = None
    fallback_models: list[str] | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made. None: the engine's own choice. ``png``: the answer is the picture itself, not JSON."""

    models: tuple[str, ...]
    prompt: str
    width: int
    height: int
    n: int
    png: bool
    negative_prompt: str = ""
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    quantize: int | None = None
    ignored: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


_READER = msgspec.json.Decoder(Body)


def wanted(raw: bytes, *, png: bool) -> tuple[Wanted, Fields]:
    """What the body asks for, and its top level as written. Raises a ``RequestError``.

    ``png``: the answer is the picture itself unless the client wants JSON.
    """
    fields = fields_of(raw)
    body = read(_READER, raw)
    models = _models(body)
    prompt = _text("prompt", body.prompt)
    if not prompt.strip():
        raise BodyInvalid("there is no prompt", hint='put what shall be seen into the field "prompt"')
    if body.stream:
        raise BodyInvalid('the field "stream" is true, but pictures come whole')
    if body.output_format not in (None, "png"):
        raise BodyInvalid('the field "output_format" must be png')
    png = _is_png(body.response_format, png)
    count = _within("n", body.n, 1, PICTURES_MOST)
    if png and count not in (None, 1):
        raise BodyInvalid("a PNG is one picture: more of them come as JSON", hint='say "response_format": "b64_json"')
    width, height = _size(body)
    made = Wanted(
        models=models, prompt=prompt, width=width, height=height, n=count or 1, png=png,
        negative_prompt=_text("negative_prompt", body.negative_prompt),
        steps=_within("steps", body.steps, 1, STEPS_MOST),
        guidance=_within("guidance", body.guidance, 0.0, GUIDANCE_MOST),
        seed=None if body.seed == -1 else _within("seed", body.seed, 0, SEED_MOST),
        quantize=_within("quantize", body.quantize, 1, QUANTIZE_MOST),
        ignored=tuple(name for name in _IGNORED if name in fields),
    )  # fmt: skip
    return made, fields


def _models(body: Body) -> tuple[str, ...]:
    """The asked model and the client's fallbacks, each once."""
    names = {model_key(model_of(body.model)): model_of(body.model)}
    if len(body.fallback_models or ()) > FALLBACKS_MOST:
        raise BodyInvalid(f'the field "fallback_models" has more than {FALLBACKS_MOST} names')
    for name in body.fallback_models or ():
        judge_name("fallback_models", name)
        names.setdefault(model_key(name), name)
    return tuple(names.values())


def _text(field: str, told: str | None) -> str:
    text = told or ""
    if len(text) > PROMPT_MOST:
        raise TooLarge(f'the field "{field}" is longer than {PROMPT_MOST} characters')
    if "\0" in text:
        raise BodyInvalid(f'the field "{field}" holds a NUL character')
    if _EXTRA in text:
        raise BodyInvalid(f'the field "{field}" holds {_EXTRA}>: arguments for engines are fields of the request')
    return text


def _is_png(told: str | None, usual: bool) -> bool:
    match told:
        case None | "":
            return usual
        case "url":
            hint = "b64_json gives them as text, png the picture itself"
            raise BodyInvalid("pictures are not kept here, so none has a URL", hint=hint)
        case "b64_json" | "png":
            return told == "png"
    raise BodyInvalid(f'the field "response_format" must be one of {", ".join(_FORMATS)}')


def _size(body: Body) -> tuple[int, int]:
    """Width and height. Raises ``BodyInvalid``."""
    width, height = body.width, body.height
    if body.size and body.size != "auto":
        found = _SIZE.fullmatch(body.size.strip())
        if found is None:
            raise BodyInvalid('the field "size" must be WIDTHxHEIGHT in pixels, as in 1024x1024')
        told = int(found[1]), int(found[2])
        if (width, height) not in ((None, None), told):
            raise BodyInvalid('the field "size" says otherwise than "width" and "height"')
        width, height = told
    return (
        _within("width", width, SIDE_LEAST, SIDE_MOST) or SIDE,
        _within("height", height, SIDE_LEAST, SIDE_MOST) or SIDE,
    )


def _within(field: str, told: Number | None, least: Number, most: Number) -> Number | None:
    if told is not None and not least <= told <= most:
        raise BodyInvalid(f'the field "{field}" must be {least} to {most}')
    return told
