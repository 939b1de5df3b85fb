"""How an engine is asked for pictures, by the dialect it speaks, and where they are in its answer. Pure; knows no node.

| dialect | path | who |
| --- | --- | --- |
| `stable-diffusion.cpp` | `/sdapi/v1/txt2img` | stable-diffusion.cpp's server, AUTOMATIC1111's web page and its kin |
| `ollama` | `/api/generate` | an Ollama that still makes pictures |
| `openai` | `/v1/images/generations` | the node's own engines, and whoever speaks OpenAI's API |

An engine that speaks several is asked in the first of them: the others leave it less to be told.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from app.errors import BodyInvalid, NotServed
from app.fleet.job import Route
from app.modalities.image.answer import Read
from app.modalities.image.schema import Wanted


class Outgoing(msgspec.Struct, frozen=True):
    """``dropped`` are fields that the engine has no word for."""

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


def _stable_diffusion(wanted: Wanted, route: Route, steps: int | None) -> Outgoing:
    told = {
        "prompt": wanted.prompt,
        "negative_prompt": wanted.negative_prompt,
        "width": wanted.width,
        "height": wanted.height,
        "batch_size": wanted.n,
        "steps": steps,
        "cfg_scale": wanted.guidance,
        "seed": wanted.seed,
    }
    return Outgoing("/sdapi/v1/txt2img", _encoded(told), lambda body: _drawn(body).images, _chosen(wanted, "quantize"))


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
    dropped = _chosen(wanted, "negative_prompt", "guidance", "quantize")
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
    old = (
        route.engine_kind == "stable-diffusion.cpp"
    )  # too old for its own dialect: it passes over all that is not OpenAI's
    dropped = _chosen(wanted, "steps", "guidance", "seed", "negative_prompt", "quantize") if old else ()
    return Outgoing("/v1/images/generations", _encoded(told), _of_data, dropped)


_DIALECTS: dict[str, Callable[[Wanted, Route, int | None], Outgoing]] = {
    "stable-diffusion.cpp": _stable_diffusion,
    "ollama": _ollama,
    "openai": _openai,
}


def _of_data(body: bytes) -> list[str]:
    return [one.b64_json for one in _generations(body).data]


def _chosen(wanted: Wanted, *names: str) -> tuple[str, ...]:
    """Which of these the client has a wish for."""
    return tuple(name for name in names if getattr(wanted, name) not in (None, ""))


def _encoded(told: dict[str, Any]) -> bytes:
    """What was chosen; the rest is the engine's own choice."""
    return msgspec.json.encode({name: value for name, value in told.items() if value is not None})
