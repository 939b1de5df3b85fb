"""How an engine is asked for pictures, by the dialect it speaks, and where they are in its answer. Pure; knows no node.

| dialect | path | who |
| --- | --- | --- |
| `sdapi` | `/sdapi/v1/txt2img` | stable-diffusion.cpp's server, AUTOMATIC1111's web UI and its kin |
| `ollama` | `/api/generate` | an Ollama that still makes pictures |
| `openai` | `/v1/images/generations` | the node's own engines, and whoever speaks OpenAI's API |

An engine that speaks several is asked in the first of them: the others leave it out of what the client may choose.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from app.errors import BodyInvalid, NotServed
from app.fleet.job import Route
from app.modalities.image.answer import Read
from app.modalities.image.schema import Wanted


class Outgoing(msgspec.Struct, frozen=True):
    """``dropped`` are fields that the dialect has no word for."""

    path: str
    body: bytes
    read: Read
    dropped: tuple[str, ...] = ()


def outgoing(wanted: Wanted, route: Route, steps: int | None) -> Outgoing:
    """The request for this route. Raises ``NotServed`` or ``BodyInvalid`` if its engine cannot be asked for this."""
    for dialect, ask in _DIALECTS.items():
        if dialect in route.dialects:
            return ask(wanted, route, steps)
    raise NotServed(f"{route.engine} on {route.node_id} has no way to be asked for pictures")


class _Drawn(msgspec.Struct):
    images: list[str]


class _Generated(msgspec.Struct):
    image: str


class _Data(msgspec.Struct):
    b64_json: str


class _Generations(msgspec.Struct):
    data: list[_Data]


_drawn = msgspec.json.Decoder(_Drawn).decode
_generated = msgspec.json.Decoder(_Generated).decode
_generations = msgspec.json.Decoder(_Generations).decode


def _sdapi(wanted: Wanted, route: Route, steps: int | None) -> Outgoing:
    told = {
        "prompt": wanted.prompt,
        "negative_prompt": wanted.negative_prompt,
        "width": wanted.width,
        "height": wanted.height,
        "batch_size": wanted.n,
        "steps": steps,
        "cfg_scale": wanted.guidance,
        "seed": wanted.seed,
        "override_settings": {"return_grid": False},  # else several pictures come with one of them all
    }
    dropped = ("quantize",) if wanted.quantize is not None else ()
    return Outgoing("/sdapi/v1/txt2img", _encoded(told), lambda body: _drawn(body).images, dropped)


def _ollama(wanted: Wanted, route: Route, steps: int | None) -> Outgoing:
    if wanted.n > 1:
        raise BodyInvalid(f"{route.engine} on {route.node_id} makes one picture at a time", hint='say "n": 1')
    told = {
        "model": route.model.name,
        "prompt": wanted.prompt,
        "width": wanted.width,
        "height": wanted.height,
        "steps": steps,
        "options": None if wanted.seed is None else {"seed": wanted.seed},
        "stream": False,
    }
    unknown = {
        "negative_prompt": wanted.negative_prompt or None, "guidance": wanted.guidance, "quantize": wanted.quantize,
    }  # fmt: skip
    dropped = tuple(name for name, value in unknown.items() if value is not None)
    return Outgoing("/api/generate", _encoded(told), lambda body: [_generated(body).image], dropped)


def _openai(wanted: Wanted, route: Route, steps: int | None) -> Outgoing:
    told = {
        "model": route.model.name,
        "prompt": wanted.prompt,
        "n": wanted.n,
        "size": wanted.size,
        "response_format": "b64_json",
        "steps": steps,
        "guidance": wanted.guidance,
        "seed": wanted.seed,
        "negative_prompt": wanted.negative_prompt or None,
        "quantize": wanted.quantize,
    }
    return Outgoing(
        "/v1/images/generations", _encoded(told), lambda body: [one.b64_json for one in _generations(body).data]
    )


_DIALECTS: dict[str, Callable[[Wanted, Route, int | None], Outgoing]] = {
    "sdapi": _sdapi,
    "ollama": _ollama,
    "openai": _openai,
}


def _encoded(told: dict[str, Any]) -> bytes:
    """What was chosen; the rest is the engine's own choice."""
    return msgspec.json.encode({name: value for name, value in told.items() if value is not None})
