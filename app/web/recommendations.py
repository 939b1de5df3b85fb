"""What Recommendations shows: use, coverage, a plan for each node, what lies on the disks. Pure; knows no HTML.

Advice may be minutes old; what is there, what can be pulled and what is on its way are of now.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from app.fleet.snapshot import FleetSnapshot, NodeView
from app.insight.advice import Advice, here
from app.insight.offers import GB, Offer, Offers
from app.insight.recommend import NodePlan, Recommendation
from app.insight.stock import NodeStock, StockModel
from app.web.insights import Figure
from app.web.nodes import Gauge
from app.web.pull_board import PullRow
from app.web.view import count, dom_key, percent, size, whole_seconds
from node.wire import model_key

ICONS = {
    "general": "message-square",
    "coding": "terminal",
    "reasoning": "brain",
    "creative": "feather",
    "fast-chat": "zap",
}
OPEN_NODES = 3
"""Nodes whose models are all shown; of more, those of one that was chosen."""
TONES = {"high": "accent", "medium": "", "low": ""}


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    category: str
    icon: str
    word: str
    tone: str


class OfferCard(msgspec.Struct, frozen=True, kw_only=True):
    """One recommended model. ``there``: on the node already; ``pull``: its pull to this node, while it is not there."""

    key: str
    name: str
    title: str
    icon: str
    category: str
    priority: str
    tone: str
    memory: str
    disk_bytes: int
    download: str
    quality: str
    reason: str
    there: bool
    pull: PullRow | None
    command: str


class NodePlanCard(msgspec.Struct, frozen=True, kw_only=True):
    """``cannot`` says why nothing can be pulled from here; ``others`` are pulls of what is not recommended."""

    key: str
    name: str
    about: str
    memory: Gauge
    disk: Gauge | None
    cards: tuple[OfferCard, ...]
    others: tuple[PullRow, ...]
    cannot: str
    command: str
    wanted: int
    wanted_size: str


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """``facts`` are parameters and quantisation as the engine tells them; a badge is a word and its tone."""

    key: str
    model: StockModel
    facts: str
    size_bytes: int | None
    badges: tuple[tuple[str, str], ...]


class StockCard(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on one node's disk. ``rows`` are only there if it is ``opened``; ``href`` opens it."""

    key: str
    name: str
    summary: str
    rows: tuple[StockRow, ...]
    deletable: bool
    opened: bool
    href: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The page. ``away`` are nodes of the fleet that nothing is planned for now."""

    summary: str
    generated_at: float
    age: str
    figures: tuple[Figure, ...]
    coverage: tuple[Coverage, ...]
    plans: tuple[NodePlanCard, ...]
    stocks: tuple[StockCard, ...]
    away: str
    as_of: str
    sources: tuple[str, ...]


def shown(
    advice: Advice,
    stocks: Sequence[NodeStock],
    snapshot: FleetSnapshot,
    pulls: Sequence[PullRow],
    offers: Offers,
    *,
    opened: str = "",
) -> Shown:
    """``opened`` is the node whose models are to be shown, where not all are."""
    nodes = {node.node_id: node for node in here(snapshot)}
    by_key = {model_key(offer.name): offer for offer in offers.models}
    icons = {modality.name: modality.icon for modality in snapshot.modalities} | ICONS
    order = {plan.node_id: place for place, plan in enumerate(advice.nodes)}
    stocks = sorted(stocks, key=lambda one: order.get(one.node_id, len(order)))
    away = [node.node_id for node in snapshot.nodes if node.status == "offline" and not node.waiting_approval]
    return Shown(
        summary=advice.fleet_summary,
        generated_at=advice.generated_at,
        age=_age(snapshot.taken_at - advice.generated_at),
        figures=_figures(advice),
        coverage=tuple(_coverage(advice, category, icons) for category in advice.usage.category_coverage),
        plans=tuple(
            _plan(plan, nodes[plan.node_id], [pull for pull in pulls if pull.node_id == plan.node_id], by_key)
            for plan in advice.nodes
            if plan.node_id in nodes
        ),
        stocks=tuple(_stock(one, opened=len(stocks) <= OPEN_NODES or one.node_id == opened) for one in stocks),
        away=", ".join(sorted(away)),
        as_of=offers.as_of,
        sources=offers.sources,
    )


def _age(age_s: float) -> str:
    return f"{whole_seconds(age_s)} ago" if age_s >= 1 else "just now"


def _figures(advice: Advice) -> tuple[Figure, ...]:
    total = advice.usage.total_requests_24h
    return (
        Figure(label="Requests", text=count(total), small="for language models, last 24 h"),
        *(
            Figure(label=category.capitalize(), text=count(requests), small=percent(requests / total))
            for category, requests in advice.usage.category_breakdown.items()
        ),
    )


def _coverage(advice: Advice, category: str, icons: Mapping[str, str]) -> Coverage:
    there = advice.usage.category_coverage[category]
    if there:
        word, tone = ("1 model" if there == 1 else f"{there} models"), "ok"
    elif category in advice.uncovered_categories:
        word, tone = "none", ""
    else:
        word, tone = "none yet", "warn"
    return Coverage(category=category, icon=icons.get(category, "box"), word=word, tone=tone)


def _plan(plan: NodePlan, node: NodeView, pulls: Sequence[PullRow], offers: Mapping[str, Offer]) -> NodePlanCard:
    there = {model_key(model.name) for engine in node.engines for model in engine.models}
    running = {model_key(pull.model): pull for pull in pulls}
    cards = tuple(_card(plan.node_id, one, there, running, offers) for one in plan.recommendations)
    ours = {model_key(card.name) for card in cards}
    wanted = [card for card in cards if not card.there]
    return NodePlanCard(
        key=dom_key(plan.node_id),
        name=plan.node_id,
        about=f"{plan.total_ram_gb:g} GiB of memory, {plan.usable_ram_gb:g} of them for models",
        memory=Gauge(
            label="Memory",
            icon="memory-stick",
            share=plan.total_recommended_ram_gb / plan.usable_ram_gb if plan.usable_ram_gb else 0.0,
            text=f"{plan.total_recommended_ram_gb:g} of {plan.usable_ram_gb:g} GiB planned",
        ),
        disk=_disk(plan),
        cards=cards,
        others=tuple(pull for key, pull in running.items() if key not in ours and pull.state == "pulling"),
        cannot=_cannot(node),
        command=command(card.name for card in wanted),
        wanted=len(wanted),
        wanted_size=size(sum(card.disk_bytes for card in wanted)),
    )


def _card(
    node_id: str, one: Recommendation, there: set[str], pulls: Mapping[str, PullRow], offers: Mapping[str, Offer]
) -> OfferCard:
    key = model_key(one.model)
    offer = offers.get(key)
    disk_bytes = int((offer.needs_disk_gb if offer is not None else one.ram_gb) * GB)
    return OfferCard(
        key=dom_key(f"{node_id}\n{key}"),
        name=one.model,
        title=one.display_name,
        icon=ICONS.get(one.category, "box"),
        category=one.category,
        priority=one.priority,
        tone=TONES[one.priority],
        memory=size(int(one.ram_gb * GB)),
        disk_bytes=disk_bytes,
        download=size(disk_bytes),
        quality=f"{one.quality_score:g}" if one.quality_score else "",
        reason=one.reason,
        there=key in there,
        pull=None if key in there else pulls.get(key),
        command=command([one.model]),
    )


def command(models: Iterable[str]) -> str:
    """What brings the models at the node's own terminal."""
    return " && ".join(f"ollama pull {shlex.quote(model)}" for model in models)


def _disk(plan: NodePlan) -> Gauge | None:
    if plan.disk_available_gb is None or not plan.disk_total_gb:
        return None
    left = max(0.0, plan.disk_available_gb)
    return Gauge(
        label="Disk",
        icon="hard-drive",
        share=min(1.0, 1 - left / plan.disk_total_gb),
        text=f"{size(int(left * GB))} of {size(int(plan.disk_total_gb * GB))} left then",
    )


def _cannot(node: NodeView) -> str:
    able = [engine for engine in node.engines if "pull" in engine.operations]
    if any(engine.healthy for engine in able):
        return ""
    if able:
        return f"{able[0].name} is down on this node, so nothing can be pulled to it now."
    return "No engine of this node pulls models by itself; its models are put there by hand."


def _stock(one: NodeStock, *, opened: bool) -> StockCard:
    unused = sum(model.unused for model in one.models)
    parts = [
        "1 model" if len(one.models) == 1 else f"{len(one.models)} models",
        f"{size(int(one.total_size_gb * GB))} on disk",
        f"{unused} unused" if unused else "",
        "" if one.disk_available_gb is None else f"{size(int(one.disk_available_gb * GB))} free",
    ]
    key = dom_key(one.node_id)
    return StockCard(
        key=key,
        name=one.node_id,
        summary=" · ".join(part for part in parts if part),
        rows=tuple(_row(one.node_id, model) for model in one.models) if opened else (),
        deletable=any(model.deletable for model in one.models),
        opened=opened,
        href=f"?{urlencode({'node': one.node_id})}#stock-{key}",
    )


def _row(node_id: str, model: StockModel) -> StockRow:
    badges = [("in memory", "ok")] if model.loaded_in_vram else []
    if model.last_used is None:
        badges.append(("never used", "warn"))
    elif model.unused:
        badges.append(("unused 7d+", "warn"))
    return StockRow(
        key=dom_key(f"{node_id}\n{model_key(model.name)}"),
        model=model,
        facts=" · ".join(part for part in (model.parameter_size, model.quantization) if part),
        size_bytes=None if model.size_gb is None else int(model.size_gb * GB),
        badges=tuple(badges),
    )
