"""What lies on the nodes' disks, and when each of it was used last. Pure; knows no engine, no page and no clock.

Field names are those of ``/dashboard/api/model-management``; sizes are in GiB.
"""

from collections.abc import Iterable

import msgspec

from app.catalog import Catalog
from app.fleet.snapshot import FleetSnapshot, NodeView
from app.insight.advice import here, languages
from app.insight.offers import GB, Offers
from app.store.usage import Use
from node.wire import EngineReport, ModelReport, model_key

DAY_S = 86400.0
UNUSED_DAYS = 7.0
"""Days without a request after which a model only takes up room."""


class StockModel(msgspec.Struct, frozen=True, kw_only=True):
    """``unused``: never used, or not for a week. ``deletable``: an engine of the node can delete it now."""

    name: str
    display_name: str
    category: str
    size_gb: float | None
    parameter_size: str
    quantization: str
    last_used: float | None
    days_unused: float | None
    total_requests: int
    loaded_in_vram: bool
    unused: bool
    deletable: bool


class NodeStock(msgspec.Struct, frozen=True, kw_only=True):
    node_id: str
    models: tuple[StockModel, ...]
    total_size_gb: float
    disk_available_gb: float | None
    disk_total_gb: float | None


def stock(
    snapshot: FleetSnapshot, uses: Iterable[Use], *, catalog: Catalog, offers: Offers, now: float
) -> tuple[NodeStock, ...]:
    """``uses`` are by node and model, over all that is kept; ``now`` is in epoch seconds."""
    by_place: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        by_place.setdefault((use.node_id, model_key(use.model)), []).append(use)
    titles = {model_key(offer.name): offer.title for offer in offers.models}
    language = languages(snapshot)

    def row(node: NodeView, held: list[tuple[EngineReport, ModelReport]]) -> StockModel:
        model = held[0][1]
        key = model_key(model.name)
        found = by_place.get((node.node_id, key), [])
        last = max((use.last_at for use in found), default=None)
        days = None if last is None else max(0.0, now - last) / DAY_S
        return StockModel(
            name=model.name,
            display_name=titles.get(key, model.name),
            category=catalog.category(model.name) if model.modality in language else model.modality,
            size_gb=_gb(sum(one.size_bytes or 0 for _, one in held) or None),
            parameter_size=model.parameters,
            quantization=model.quantization,
            last_used=last,
            days_unused=None if days is None else round(days, 1),
            total_requests=sum(use.requests for use in found),
            loaded_in_vram=any(one.loaded and not engine.stale for engine, one in held),
            unused=days is None or days >= UNUSED_DAYS,
            deletable=any(engine.healthy and "delete" in engine.operations for engine, _ in held),
        )

    return tuple(_node(node, [row(node, held) for held in _held(node)]) for node in here(snapshot))


def _held(node: NodeView) -> list[list[tuple[EngineReport, ModelReport]]]:
    """The models of a node, each with all engines that have it."""
    found: dict[str, list[tuple[EngineReport, ModelReport]]] = {}
    for engine in node.engines:
        for model in engine.models:
            found.setdefault(model_key(model.name), []).append((engine, model))
    return list(found.values())


def _node(node: NodeView, models: list[StockModel]) -> NodeStock:
    models.sort(key=lambda model: (not model.loaded_in_vram, -(model.last_used or 0.0), model.name))
    return NodeStock(
        node_id=node.node_id,
        models=tuple(models),
        total_size_gb=round(sum(model.size_gb or 0.0 for model in models), 2),
        disk_available_gb=_gb(node.machine.disk_free_bytes),
        disk_total_gb=_gb(node.machine.disk_total_bytes),
    )


def _gb(size: int | None) -> float | None:
    return None if size is None else round(size / GB, 2)
