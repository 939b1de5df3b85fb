"""A policy: the declarative chain of filters, scorers and a picker, read from TOML. Knows no candidate and no file."""

import math
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec

from app.scoring.filters import FILTERS, Filter
from app.scoring.pickers import PICKERS, Highest, Picker
from app.scoring.scorers import SCORERS, Scorer

Part = TypeVar("Part", Filter, Scorer)


class PolicyInvalid(ValueError):
    """A policy cannot be read; the message names the place, such as ``$.score[0].use``."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Filters refuse, scorers give points, the picker puts in order; all from top to bottom.

    ``hot_first``: of the models that a request names, one that is loaded goes before an earlier one that is not.
    ``substitute_size``: a model that stands in for another is at least this share as large; 0: of any size.
    """

    name: str
    about: str = ""
    hot_first: bool = True
    substitute_size: float = 0.8
    picker: Picker = Highest()
    filter: tuple[Filter, ...] = ()
    score: tuple[Scorer, ...] = ()


def use(part: Filter | Scorer | Picker) -> str:
    """The name of a filter, scorer or picker in a policy file."""
    return str(part.__struct_config__.tag)


def load(text: str, *, extra: tuple[type[Scorer], ...] = ()) -> Policy:
    """The policy that a TOML text describes; ``extra`` are further scorers that it may use.

    Raises ``PolicyInvalid`` for what is not TOML, an unknown name or knob, a wrong type or value, a scorer used twice.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid(f"not TOML: {error}") from error
    return build(document, extra=extra)


def build(document: Mapping[str, Any], *, extra: tuple[type[Scorer], ...] = ()) -> Policy:
    """The policy that a decoded TOML or JSON document describes; raises ``PolicyInvalid``."""
    _finite(document, "$")
    try:
        read = msgspec.convert(document, _document_type(extra))
    except msgspec.ValidationError as error:
        raise PolicyInvalid(str(error)) from error
    for key, parts in (("filter", read.filter), ("score", read.score)):
        seen: set[str] = set()
        for index, part in enumerate(parts):
            if use(part) in seen:
                raise PolicyInvalid(f"{use(part)!r} stands twice - at `$.{key}[{index}].use`")
            seen.add(use(part))
    picker = (
        next(kind() for kind in PICKERS if _tag(kind) == read.picker) if isinstance(read.picker, str) else read.picker
    )
    return Policy(
        name=read.name, about=read.about, hot_first=read.hot_first, substitute_size=read.substitute_size,
        picker=picker, filter=read.filter, score=read.score,
    )  # fmt: skip


def tune(policy: Policy, knobs: Mapping[str, float]) -> Policy:
    """The policy with some knobs turned: keys such as ``thermal.weight`` or ``owner_away.min_availability``.

    A filter or scorer that the policy does not use is passed over. Raises ``PolicyInvalid`` for a knob that it has not,
    or a value that the knob does not take.
    """
    if not knobs:
        return policy
    wanted: dict[str, dict[str, float]] = {}
    for key, value in knobs.items():
        name, _, knob = key.partition(".")
        wanted.setdefault(name, {})[knob] = value
    return msgspec.structs.replace(
        policy,
        filter=tuple(_turned(part, wanted.get(use(part), {})) for part in policy.filter),
        score=tuple(_turned(part, wanted.get(use(part), {})) for part in policy.score),
    )


def schema(*, extra: tuple[type[Scorer], ...] = ()) -> dict[str, Any]:
    """The JSON schema of a policy file, for editors."""
    return msgspec.json.schema(_document_type(extra))


def _turned(part: Part, knobs: Mapping[str, float]) -> Part:
    if not knobs:
        return part
    for knob, value in knobs.items():
        if knob not in part.__struct_fields__:
            raise PolicyInvalid(f"{use(part)!r} has no knob {knob!r}")
        if not math.isfinite(value):
            raise PolicyInvalid(f"{value} is not a number - at `{use(part)}.{knob}`")
    try:
        return msgspec.convert({**msgspec.to_builtins(part), **knobs}, type(part))
    except msgspec.ValidationError as error:
        raise PolicyInvalid(str(error).replace("`$.", f"`{use(part)}.")) from error


def _document_type(extra: tuple[type[Scorer], ...]) -> Any:
    names = tuple(_tag(kind) for kind in PICKERS)
    filters: Any = Union[FILTERS]  # noqa: UP007
    scorers: Any = Union[(*SCORERS, *extra)]
    return msgspec.defstruct(
        "PolicyFile",
        [
            ("name", str),
            ("about", str, ""),
            ("hot_first", bool, True),
            ("substitute_size", Annotated[float, msgspec.Meta(ge=0)], 0.8),
            ("picker", Union[(Literal[names], *PICKERS)], "highest"),
            ("filter", tuple[filters, ...], ()),
            ("score", tuple[scorers, ...], ()),
        ],
        forbid_unknown_fields=True,
        kw_only=True,
    )


def _tag(kind: type[Filter] | type[Scorer] | type[Picker]) -> str:
    return str(kind.__struct_config__.tag)


def _finite(value: Any, path: str) -> None:
    """TOML can write nan and inf; neither can be weighed."""
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyInvalid(f"{value} is not a number - at `{path}`")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _finite(inner, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _finite(inner, f"{path}[{index}]")
