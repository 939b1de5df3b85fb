"""The advice on models: what was used, what each node should hold, and that in a sentence. Pure; knows no page.

Field names are those of ``/dashboard/api/recommendations``; memory and disk are in GiB.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from app.catalog import Catalog
from app.fleet.snapshot import FleetSnapshot, NodeView
from app.insight.offers import GB, Offers
from app.insight.recommend import CATEGORIES, TOP, NodePlan, Place, Used, recommend, uncovered
from app.store.usage import Use
from node.wire import ModelReport, model_key

DISK_TO_MEMORY = 1.2
"""What a model takes in memory over its size on disk, while it is not loaded."""
LANGUAGE = "chat"
"""The operation by which the modality of language models is told: only they have categories."""


class TopModel(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    requests: int
    category: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests for language models in the last day. ``category_coverage``: how many models that serve it are there."""

    total_requests_24h: int
    category_breakdown: dict[str, int]
    top_models: tuple[TopModel, ...]
    category_coverage: dict[str, int]


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """``uncovered_categories``: no node has a model for them, nor would have one by these plans."""

    nodes: tuple[NodePlan, ...]
    usage: Usage
    fleet_summary: str
    uncovered_categories: tuple[str, ...]
    generated_at: float


def advise(snapshot: FleetSnapshot, uses: Iterable[Use], *, catalog: Catalog, offers: Offers, at: float) -> Advice:
    """``uses`` are of the last day, by model and modality; ``at`` is now, in epoch seconds."""
    used = most_used(uses, languages(snapshot), catalog)
    plans = recommend(places(snapshot), used, offers)
    usage = Usage(
        total_requests_24h=sum(use.requests for use in used),
        category_breakdown=_by_category(used),
        top_models=tuple(TopModel(model=u.model, requests=u.requests, category=u.category) for u in used[:TOP]),
        category_coverage=_coverage(snapshot, catalog),
    )
    return Advice(
        nodes=plans,
        usage=usage,
        fleet_summary=summary(plans, usage),
        uncovered_categories=tuple(name for name in uncovered(plans) if not usage.category_coverage[name]),
        generated_at=at,
    )


def here(snapshot: FleetSnapshot) -> tuple[NodeView, ...]:
    """The nodes that can be planned for."""
    return tuple(node for node in snapshot.nodes if node.status != "offline" and not node.waiting_approval)


def places(snapshot: FleetSnapshot) -> tuple[Place, ...]:
    return tuple(
        Place(
            node_id=node.node_id,
            memory_gb=node.machine.memory_total_bytes / GB,
            disk_free_gb=_gb(node.machine.disk_free_bytes),
            disk_total_gb=_gb(node.machine.disk_total_bytes),
            models={model.name: _memory_gb(model) for engine in node.engines for model in engine.models},
        )
        for node in here(snapshot)
    )


def languages(snapshot: FleetSnapshot) -> frozenset[str]:
    """The modalities whose models have categories."""
    return frozenset(modality.name for modality in snapshot.modalities if modality.operation == LANGUAGE)


def most_used(uses: Iterable[Use], modalities: frozenset[str], catalog: Catalog) -> tuple[Used, ...]:
    """The language models that were asked for, most used first; names that mean the same model are one."""
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for use in uses:
        if use.modality in modalities and use.model:
            counts[model_key(use.model)] += use.requests
            names.setdefault(model_key(use.model), use.model)
    return tuple(
        Used(model=names[key], requests=requests, category=catalog.category(names[key]))
        for key, requests in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def summary(plans: tuple[NodePlan, ...], usage: Usage) -> str:
    """What a person should know first."""
    if not plans:
        return "No node is online, so there is nothing to plan for."
    room, wanted = sum(plan.usable_ram_gb for plan in plans), [one for plan in plans for one in plan.recommendations]
    there = sum(one.already_available for one in wanted)
    machines = "One node has" if len(plans) == 1 else f"{len(plans)} nodes have"
    kept = {0: "none there yet", len(wanted): "all there already"}.get(there, f"{there} of them there already")
    told = f"{machines} {room:.0f} GiB of memory for models. "
    if not wanted:
        told += "That is not enough for any model that is recommended. "
    else:
        told += f"{_counted(len(wanted), 'model is', 'models are')} recommended, {kept}. "
    if not usage.total_requests_24h:
        return told + "Nothing was asked in the last day, so the plans cover what most people need."
    first = max(usage.category_breakdown, key=lambda name: usage.category_breakdown[name])
    asked = _counted(usage.total_requests_24h, "request", "requests")
    return told + f"{asked} came in the last day, most often for {first}."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _by_category(used: Iterable[Used]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for use in used:
        counts[use.category] += use.requests
    return dict(counts.most_common())


def _coverage(snapshot: FleetSnapshot, catalog: Catalog) -> dict[str, int]:
    """Different models of the fleet by what they serve; a kind of work that is a category itself counts as such."""
    language = languages(snapshot)
    held: Mapping[tuple[str, str], ModelReport] = {
        (model.modality, model_key(model.name)): model
        for node in here(snapshot)
        for engine in node.engines
        for model in engine.models
    }
    counts = Counter(
        category
        for (modality, _), model in held.items()
        for category in (serves(model.name, catalog) if modality in language else {modality})
    )
    return {category: counts[category] for category in CATEGORIES}


def serves(name: str, catalog: Catalog) -> set[str]:
    """All that a language model is good at."""
    spec = catalog.lookup(name)
    return {catalog.category(name), *(spec.also if spec is not None else ())}


def _memory_gb(model: ModelReport) -> float | None:
    if model.resident_bytes:
        return model.resident_bytes / GB
    return model.size_bytes * DISK_TO_MEMORY / GB if model.size_bytes else None


def _gb(size: int | None) -> float | None:
    return None if size is None else round(size / GB, 1)
