"""Settings as rows of a form, and in the public JSON form. Pure; knows no HTML and no single modality."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from app.fleet.snapshot import FleetSnapshot
from app.fleet.usage import ContextUse
from app.settings.describe import knobs_of
from app.settings.ranges import bounds
from app.settings.reach import Reach, reach
from app.settings.resolve import sections, value_of
from app.settings.schema import Settings
from app.web.view import count
from node.wire import model_key

TITLES = {
    "server": "Server", "heartbeat": "Heartbeats", "queue": "Requests and their queue", "models": "Models",
    "score": "Scoring", "history": "History",
}  # fmt: skip
TOGGLES = (
    "auto_pull", "vram_fallback", "image_generation", "transcription", "dynamic_num_ctx", "num_ctx_auto_calculate",
)  # fmt: skip
OVERRIDES = "num_ctx_overrides"
OVERRIDE_LEAST = 1024


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: switch, number, choice, json or text. ``source``: who said the value; ``locked``: it is held there."""

    section: str
    key: str
    meaning: str
    variable: str
    kind: str
    value: str
    on: bool
    options: tuple[str, ...]
    range: str
    default: str
    source: str
    locked: bool
    reach: Reach
    undoable: bool


class SectionView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    rows: tuple[SettingRow, ...]


class ContextRow(msgspec.Struct, frozen=True, kw_only=True):
    """``tone``: over half used is ok, over a tenth warn, less bad; none where it is not known."""

    model: str
    allocated: str
    p99: str
    share: str
    tone: str
    recommended: int
    override: str


class NodeCard(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    status: str
    tone: str
    version: str
    differs: bool
    address: str
    loaded: tuple[str, ...]
    is_router: bool


def section_views(
    settings: Settings,
    sources: Mapping[str, str],
    locked: Iterable[str],
    undoable: Iterable[str],
    titles: Mapping[str, str],
) -> list[SectionView]:
    """``sources`` of what is not at its default; ``titles`` are those of modalities' sections."""
    held, undo = set(locked), set(undoable)
    views = []
    for name, values in sections(settings):
        hints = get_type_hints(type(values))
        rows = []
        for field, knob in zip(fields(values), knobs_of(type(values)), strict=True):
            value, hint = getattr(values, field.name), hints[field.name]
            least, most = bounds(field)
            kind = kind_of(hint)
            rows.append(
                SettingRow(
                    section=name, key=field.name, meaning=knob.meaning, variable=knob.variable, kind=kind,
                    value=written(value), on=value is True, options=tuple(map(str, get_args(hint)))
                    if kind == "choice" else (), range=_range(least, most) if kind == "number" else "",
                    default=knob.default or "empty", source=sources.get(field.name, "default"),
                    locked=field.name in held, undoable=field.name in undo,
                    reach=reach(name, field.name, of_modality=name in settings.modalities),
                )
            )  # fmt: skip
        views.append(SectionView(name=name, title=TITLES.get(name) or titles.get(name, name), rows=tuple(rows)))
    return views


def section_of(settings: Settings, key: str) -> str | None:
    return next((name for name, values in sections(settings) if hasattr(values, key)), None)


def kind_of(hint: Any) -> Literal["switch", "number", "choice", "json", "text"]:
    if hint is bool:
        return "switch"
    if hint in (int, float):
        return "number"
    if get_origin(hint) is Literal:
        return "choice"
    return "json" if get_origin(hint) in (dict, Mapping) else "text"


def written(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return value
    return f"{value:.12g}" if isinstance(value, float) else msgspec.json.encode(value).decode()


def context_rows(uses: Iterable[ContextUse], overrides: Mapping[str, int]) -> list[ContextRow]:
    said = {model_key(name): tokens for name, tokens in overrides.items()}
    rows = []
    for use in sorted(uses, key=lambda one: one.model):
        share = use.p99_tokens / use.context if use.context else None
        tone = "" if share is None else "ok" if share > 0.5 else "warn" if share > 0.1 else "bad"
        rows.append(
            ContextRow(
                model=use.model, allocated=count(use.context or None), p99=count(use.p99_tokens),
                share="–" if share is None else f"{share * 100:.0f} %", tone=tone,
                recommended=min(use.recommended, use.context or use.recommended),
                override=str(said.get(use.model, "")),
            )
        )  # fmt: skip
    return rows


def node_cards(snapshot: FleetSnapshot, version: str, hostname: str) -> list[NodeCard]:
    tones = {"online": "ok", "degraded": "warn", "offline": "bad"}
    return [
        NodeCard(
            name=node.node_id, status=node.status, tone=tones[node.status], version=node.version,
            differs=bool(node.version) and node.version != version, address=node.address,
            loaded=tuple(model.name for engine in node.engines for model in engine.models if model.loaded),
            is_router=node.node_id == hostname,
        )
        for node in snapshot.nodes if not node.waiting_approval
    ]  # fmt: skip


def config(settings: Settings, hostname: str) -> dict[str, Any]:
    """The groups of the public answer. ``auto_pull`` is a switch there: whether it is anything but off."""

    def group(*keys: str) -> dict[str, Any]:
        return {key: value_of(settings, key) for key in keys}

    server = group("host", "port", "max_retries")
    if server["host"] in ("0.0.0.0", "::"):
        server["host"] = hostname
    return {
        "toggles": {**group(*TOGGLES), "auto_pull": settings.models.auto_pull not in ("off", "false")},
        "context": group("context_protection", "dynamic_num_ctx", OVERRIDES, "num_ctx_auto_calculate"),
        "server": {**server, "data_dir": str(settings.data_dir)},
        "heartbeat": group(*(one.name for one in fields(settings.heartbeat))),
        "scoring": group(*(one.name for one in fields(settings.score))),
        "rebalancer": group("rebalance_interval", "hold_timeout", "queue_timeout"),
        "pre_warm": group("pre_warm_threshold", "pre_warm_min_availability"),
        "auto_pull_config": group("auto_pull_timeout"),
        "context_protection": group("context_protection"),
        "reaper": group("stale_timeout"),
    }


def public_nodes(snapshot: FleetSnapshot, hostname: str) -> list[dict[str, Any]]:
    """``NAME_models`` are those of each modality that nodes report."""
    told = []
    for node in snapshot.nodes:
        models = [model for engine in node.engines for model in engine.models]
        kinds = {f"{kind.name}_models": [one.name for one in models if one.modality == kind.name]
                 for kind in snapshot.modalities}  # fmt: skip
        told.append(
            {
                "node_id": node.node_id, "status": node.status, "agent_version": node.version, "ip": node.address,
                "models_loaded_count": sum(one.loaded for one in models), "is_router": node.node_id == hostname,
                **kinds,
            }
        )  # fmt: skip
    return told


def asked_value(key: str, value: Any) -> Any:
    """A switch of the public answer as its setting wants it."""
    if key == "auto_pull" and isinstance(value, bool):
        return "catalogue" if value else "off"
    return value


def _range(least: float, most: float) -> str:
    if isfinite(most):
        return f"{least:g} to {most:.10g}"
    return f"{least:g} or more" if isfinite(least) else ""
