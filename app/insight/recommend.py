"""Which models each machine should hold: what is used, then one for each kind of task. Pure; knows no engine.

For each node, the roomiest first (room: its memory less what the system takes, and no model over half of that):
 0. What was used most, is there already and fits, is kept.
 1. For each category that nothing was chosen for yet, in order of use: the best rated model that fits what is left. If
    its family is on the node already, or the model on two nodes, another family instead: one that serves the category,
    else one of the best's own. It must fit the disk too, unless it is there.
 2. Whatever is left holds a small quick one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from app.insight.offers import Offer, Offers
from node.wire import model_key

CATEGORIES = ("general", "coding", "reasoning", "creative", "fast-chat", "image")
ASKED_FIRST = CATEGORIES[:5]
"""What a fleet without use is taken to need."""
SYSTEM_GB = 6.0
"""Memory left to the machine's own system."""
ONE_MOST = 0.5
"""Share of a node's room that one model may take."""
LEAST_GB = 2.0
"""Room below which nothing more is sought."""
SPREAD = 2
"""Nodes that a model is placed on before another is preferred."""
TOP = 10
NOTABLE = 80.0
"""Percent in a benchmark that is worth a word."""

Priority = Literal["high", "medium", "low"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A node as far as models concern it. ``models`` are those on its disk with their memory in GB (None: not known).

    ``disk_free_gb`` None: not known, so nothing is refused for it.
    """

    node_id: str
    memory_gb: float
    disk_free_gb: float | None = None
    disk_total_gb: float | None = None
    models: Mapping[str, float | None] = {}


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """How often a model was asked for lately."""

    model: str
    requests: int
    category: str


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Field names are those of ``/dashboard/api/recommendations``."""

    model: str
    display_name: str
    category: str
    ram_gb: float
    quality_score: float
    reason: str
    priority: Priority
    already_available: bool


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one node should hold. ``disk_available_gb`` is what is left once it does."""

    node_id: str
    total_ram_gb: float
    usable_ram_gb: float
    current_models: tuple[str, ...]
    recommendations: tuple[Recommendation, ...]
    disk_total_gb: float | None
    disk_available_gb: float | None
    total_recommended_ram_gb: float
    ram_headroom_gb: float


class _Node:
    """One node while models are being placed on it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.usable_gb = max(0.0, place.memory_gb - SYSTEM_GB)
        self.left_gb = self.usable_gb
        self.disk_gb = place.disk_free_gb
        self.families: set[str] = set()
        self.covered: set[str] = set()
        self.chosen: list[Recommendation] = []
        self._there = {model_key(name) for name in place.models}

    @property
    def most_gb(self) -> float:
        return min(self.left_gb, self.usable_gb * ONE_MOST)

    def has(self, model: str) -> bool:
        return model_key(model) in self._there

    def fits_disk(self, offer: Offer) -> bool:
        return self.has(offer.name) or self.disk_gb is None or offer.needs_disk_gb <= self.disk_gb

    def take(self, offer: Offer, category: str, priority: Priority, reason: str, ram_gb: float) -> None:
        if self.disk_gb is not None and not self.has(offer.name):
            self.disk_gb -= offer.needs_disk_gb
        self.left_gb -= ram_gb
        self.families.add(offer.family)
        self.covered.add(category)
        self.chosen.append(
            Recommendation(
                model=offer.name,
                display_name=offer.title,
                category=category,
                ram_gb=ram_gb,
                quality_score=round(offer.quality, 1),
                reason=reason,
                priority=priority,
                already_available=self.has(offer.name),
            )
        )

    def plan(self) -> NodePlan:
        taken = self.usable_gb - self.left_gb
        return NodePlan(
            node_id=self.place.node_id,
            total_ram_gb=round(self.place.memory_gb, 1),
            usable_ram_gb=round(self.usable_gb, 1),
            current_models=tuple(sorted(self.place.models)),
            recommendations=tuple(self.chosen),
            disk_total_gb=self.place.disk_total_gb,
            disk_available_gb=None if self.disk_gb is None else round(self.disk_gb, 1),
            total_recommended_ram_gb=round(taken, 1),
            ram_headroom_gb=round(self.left_gb, 1),
        )


def recommend(places: Iterable[Place], used: Sequence[Used], offers: Offers) -> tuple[NodePlan, ...]:
    """A plan for each node, the largest first. Who is used and in which order decides, ratings choose among equals."""
    order = wanted(used)
    counts = {category: sum(use.requests for use in used if use.category == category) for category in CATEGORIES}
    top = sorted(used, key=lambda use: -use.requests)[:TOP]
    spread: dict[str, int] = {}
    plans = []
    for place in sorted(places, key=lambda place: -place.memory_gb):
        node = _Node(place)
        _keep(node, top, offers)
        for category in order:
            if node.left_gb < LEAST_GB:
                break
            if category not in node.covered:
                _cover(node, category, order, counts, spread, offers)
        if node.left_gb >= LEAST_GB and "fast-chat" not in node.covered:
            quick = offers.best("fast-chat", node.left_gb, without=tuple(node.families))
            if quick is not None and node.fits_disk(quick):
                node.take(quick, "fast-chat", "low", "room is left for a quick one", quick.ram_gb)
        for one in node.chosen:
            spread[one.model] = spread.get(one.model, 0) + 1
        plans.append(node.plan())
    return tuple(plans)


def wanted(used: Sequence[Used]) -> tuple[str, ...]:
    """The categories in order of use, those nobody used at the end; without any use, what a fleet mostly needs."""
    counts = {category: sum(use.requests for use in used if use.category == category) for category in CATEGORIES}
    if not any(counts.values()):
        return ASKED_FIRST
    return tuple(sorted(CATEGORIES, key=lambda category: -counts[category]))


def uncovered(plans: Iterable[NodePlan]) -> tuple[str, ...]:
    """The categories that no node has a model for."""
    there = {one.category for plan in plans for one in plan.recommendations}
    return tuple(category for category in CATEGORIES if category not in there)


def _keep(node: _Node, top: Sequence[Used], offers: Offers) -> None:
    known = {model_key(offer.name): offer for offer in offers.models}
    sizes = {model_key(name): size for name, size in node.place.models.items()}
    for use in top:
        key = model_key(use.model)
        offer = known.get(key)
        ram_gb = offer.ram_gb if offer is not None else sizes.get(key)
        if key not in sizes or ram_gb is None or ram_gb > node.most_gb:
            continue
        if offer is None:
            offer = Offer(
                name=use.model, title=use.model, family=key, category=use.category, ram_gb=ram_gb, params_b=0.0
            )
        if offer.family not in node.families:
            node.take(offer, use.category, "high", f"{use.requests} requests in the last day", ram_gb)


def _cover(
    node: _Node,
    category: str,
    order: Sequence[str],
    counts: Mapping[str, int],
    spread: Mapping[str, int],
    offers: Offers,
) -> None:
    best = offers.best(category, node.most_gb)
    if best is None:
        return
    often = spread.get(best.name, 0) >= SPREAD
    if best.family in node.families or often:
        taken = (best.family, *node.families, *(o.family for o in offers.models if spread.get(o.name, 0) >= SPREAD))
        other = None
        if best.category != category:  # another that serves what is wanted comes before another of the best's own kind
            other = offers.best(category, node.most_gb, without=taken)
        other = other or offers.best(best.category, node.most_gb, without=taken, primary=True)
        if other is None and best.family in node.families:
            return
        best = other or best
    if not node.fits_disk(best):
        return
    first = category == order[0]
    priority: Priority = "high" if first or counts.get(category) else "medium"
    node.take(best, category, priority, _reason(best, category, counts.get(category, 0)), best.ram_gb)


def _reason(offer: Offer, category: str, requests: int) -> str:
    words = [f"{requests} {category} requests in the last day" if requests else f"covers {category}"]
    if not offer.serves(category):
        words.append("nothing that is made for it fits, this comes next")
    if offer.mmlu is not None and offer.mmlu >= NOTABLE:
        words.append(f"MMLU {offer.mmlu:g} %")
    if offer.humaneval is not None and offer.humaneval >= NOTABLE:
        words.append(f"HumanEval {offer.humaneval:g} %")
    if offer.active_b:
        words.append(f"{offer.active_b:g} of {offer.params_b:g} billion parameters at work for each token")
    if offer.note:
        words.append(offer.note)
    return "; ".join(words)
