"""A policy as a form: filters, scorers and picker with their knobs, and edits of them. Pure; knows no HTML."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from app.errors import BodyInvalid
from app.scoring.pickers import PICKERS
from app.scoring.policy import Policy, PolicyInvalid, use
from app.web.requests import SCORERS

Kind = Literal["number", "switch", "text"]
SENTENCE = re.compile(r".*?[.?](?= |$)")
GROUPS = ("filter", "score")
PLACE = re.compile(r"`?\$\.(filter|score)\[(\d+)\]\.?([a-z_0-9]*)|`?\$\.([a-z_]+)\.?([a-z_]*)")


class KnobField(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` names it in an edit: ``score.thermal.weight``. ``held`` is the value that a setting lays over it."""

    path: str
    name: str
    kind: Kind
    value: str
    on: bool = False
    held: str = ""


class PartForm(msgspec.Struct, frozen=True, kw_only=True):
    use: str
    title: str
    meaning: str
    knobs: tuple[KnobField, ...]


class PolicyForm(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    about: str
    general: tuple[KnobField, ...]
    filters: tuple[PartForm, ...]
    scorers: tuple[PartForm, ...]
    picker: str
    pickers: tuple[str, ...]
    picker_knobs: tuple[KnobField, ...]


def policy_form(policy: Policy, held: Mapping[str, float]) -> PolicyForm:
    return PolicyForm(
        name=policy.name,
        about=policy.about,
        general=(
            _knob("hot_first", "hot_first", policy.hot_first, {}),
            _knob("substitute_size", "substitute_size", policy.substitute_size, {}),
        ),
        filters=tuple(_part("filter", part, held) for part in policy.filter),
        scorers=tuple(_part("score", part, held) for part in policy.score),
        picker=use(policy.picker),
        pickers=tuple(str(kind.__struct_config__.tag) for kind in PICKERS),
        picker_knobs=tuple(
            _knob(f"picker.{name}", name, getattr(policy.picker, name), {}) for name in policy.picker.__struct_fields__
        ),
    )


def edited(policy: Policy, changes: Any) -> dict[str, Any]:
    """The policy's document with some knobs set, by their paths. Raises ``BodyInvalid``; values are checked later."""
    if not isinstance(changes, Mapping):
        raise BodyInvalid('send {"changes": {"score.thermal.weight": 60}}')
    document: dict[str, Any] = msgspec.to_builtins(policy)
    for path, value in changes.items():
        *way, knob = str(path).split(".")
        if way == ["picker"] and knob == "use":
            document["picker"] = {**(document["picker"] if document["picker"]["use"] == value else {}), "use": value}
        elif way == ["picker"]:
            document["picker"][knob] = value
        elif not way and knob in ("hot_first", "substitute_size", "about"):
            document[knob] = value
        elif len(way) == 2 and way[0] in GROUPS and (part := _named(document[way[0]], way[1])) is not None:
            part[knob] = value
        else:
            raise BodyInvalid(f"the policy has no {path}")
    return document


def place_of(document: Mapping[str, Any], error: PolicyInvalid) -> str:
    """The path of the knob that the error is about; empty: it is about none."""
    found = PLACE.search(str(error))
    if found is None:
        return ""
    group, index, knob, other, inner = found.groups()
    if group is None:
        return f"{other}.{inner}" if inner else other
    parts = document[group]
    return f"{group}.{parts[int(index)]['use']}.{knob}".rstrip(".") if int(index) < len(parts) else ""


def _named(parts: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((part for part in parts if part["use"] == name), None)


def _part(group: str, part: Any, held: Mapping[str, float]) -> PartForm:
    name = use(part)
    title, meaning = SCORERS.get(name, (name.replace("_", " ").capitalize(), ""))
    said = SENTENCE.match(" ".join((type(part).__doc__ or "").split()))
    first = said[0].replace("``", "") if said else ""
    return PartForm(
        use=name,
        title=title,
        meaning=first or meaning,
        knobs=tuple(
            _knob(f"{group}.{name}.{knob}", knob, getattr(part, knob), held) for knob in part.__struct_fields__
        ),
    )


def _knob(path: str, name: str, value: Any, held: Mapping[str, float]) -> KnobField:
    over = held.get(path.partition(".")[2])
    told = "" if over is None else f"{over:g}"
    if isinstance(value, bool):
        return KnobField(path=path, name=name, kind="switch", value="", on=value, held=told)
    if isinstance(value, int | float):
        return KnobField(path=path, name=name, kind="number", value=f"{value:.12g}", held=told)
    return KnobField(path=path, name=name, kind="text", value=_written(value), held=told)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
