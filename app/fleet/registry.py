"""Who is here and what they hold: heartbeats in, node states and holdings out. Pure; knows no HTTP, queue or clock.

    first heartbeat        > timeout silent        > offline silent
   ----------------> online ------------> degraded ------------> offline
                       ^------- any heartbeat of that node --------'

Times are seconds of a monotonic clock, told by the caller as ``now``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from app.scoring.types import Status
from node.wire import EngineReport, Heartbeat, ModelReport, model_key

DISK_TO_MEMORY = 1.2
"""What a model takes in memory over its size on disk, while nobody has measured it (weights, cache and compute)."""
BELIEVED_S = 60.0
"""Seconds a model that came is believed to be there though its node's reports, made before, do not have it yet."""
SERVED_S = 10.0
"""Seconds for which a model that served is believed to be loaded, though reports of its node made before say no."""
DENIED_S = 30.0
"""Seconds for which an engine that denied a model is believed against its own unchanged inventory."""
UNLOADS_KEPT = 256
"""Unloaded models remembered for each node."""

ChangeKind = Literal[
    "node.joined", "node.online", "node.degraded", "node.offline", "node.draining", "node.resumed", "node.paused",
    "node.unpaused", "engine.up", "engine.down", "model.added", "model.removed", "model.loaded", "model.unloaded",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a heartbeat or a sweep changed: an event for the log, and the models whose tickets it concerns."""

    kind: ChangeKind
    node_id: str
    what: str = ""
    models: tuple[str, ...] = ()


@dataclass(slots=True)
class Node:
    """One node as the router knows it. ``peer`` is the address its heartbeats come from.

    ``link_failures`` are the heartbeats that it could not deliver since this router knows it.
    """

    node_id: str
    peer: str
    heartbeat: Heartbeat
    seen_at: float
    status: Status = "online"
    draining: bool = False
    link_failures: int = 0
    link_failed_at: float | None = None
    unloaded: dict[str, float] = field(default_factory=dict)

    def engine(self, name: str) -> EngineReport | None:
        return next((engine for engine in self.heartbeat.engines if engine.name == name), None)

    def lane_slots(self, lane: str) -> int:
        """What its engines share by that name; where they do not agree, the least."""
        return min((engine.lane_slots for engine in self.heartbeat.engines if engine.lane == lane), default=1)


@dataclass(frozen=True, slots=True)
class Holding:
    """A model on an engine of a node. ``key`` compares model names."""

    node: Node
    engine: EngineReport
    model: ModelReport
    key: str


class Registry:
    """The nodes in order of their first heartbeat, with an index from model to those who hold it."""

    def __init__(self, *, timeout_s: float, offline_s: float, drained: Iterable[str] = ()) -> None:
        self._timeout_s = timeout_s
        self._offline_s = offline_s
        self._nodes: dict[str, Node] = {}
        self._by_node: dict[str, dict[str, list[Holding]]] = {}
        self._by_model: dict[str, tuple[Holding, ...]] = {}
        self._loaded: dict[str, tuple[Holding, ...]] = {}
        self._resident: dict[str, int] = {}
        self._gone: dict[tuple[str, str, str], float | None] = {}
        self._came: dict[tuple[str, str, str], tuple[ModelReport, float]] = {}
        self._drained = set(drained)
        self._served: dict[tuple[str, str, str], float] = {}

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._nodes.values())

    def node(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    def holdings(self, key: str) -> tuple[Holding, ...]:
        """Everybody who has the model, offline nodes and engines that are down included."""
        return self._by_model.get(key, ())

    def sharing(self, node_id: str, engine: str, key: str) -> tuple[str, ...]:
        """The models that a slot which this one gives back may be granted to: itself, and those of its lane."""
        node = self._nodes.get(node_id)
        own = node.engine(engine) if node is not None else None
        if node is None or own is None or not own.lane:
            return (key,)
        mates = (model for other in node.heartbeat.engines if other.lane == own.lane for model in other.models)
        return tuple(dict.fromkeys((key, *(model_key(model.name) for model in mates))))

    def loaded(self) -> Iterator[Holding]:
        """Every model that is in memory somewhere."""
        for holdings in self._loaded.values():
            yield from holdings

    def all_holdings(self) -> Iterator[Holding]:
        for holdings in self._by_model.values():
            yield from holdings

    def apply(self, heartbeat: Heartbeat, peer: str, now: float) -> list[Change]:
        """Take a node's report of itself for the truth about it; says what changed."""
        node = self._nodes.get(heartbeat.node_id)
        before = node.heartbeat if node is not None else None
        if heartbeat.draining and not heartbeat.engines and before is not None:
            heartbeat = _only_draining(before, heartbeat)
        changes: list[Change] = []
        if node is None:
            node = self._nodes[heartbeat.node_id] = Node(heartbeat.node_id, peer, heartbeat, now)
            changes.append(Change("node.joined", node.node_id, peer))
        elif node.status != "online" and not heartbeat.goodbye:
            changes.append(Change("node.online", node.node_id, peer, _keys(heartbeat)))
        heartbeat = self._as_served(self._with_arrivals(heartbeat, now), now)
        node.peer, node.heartbeat, node.seen_at = peer, heartbeat, now
        if before is not None and heartbeat.failures.count:  # what failed before it was known here, failed elsewhere
            node.link_failures += heartbeat.failures.count
            node.link_failed_at = now
        node.status = "offline" if heartbeat.goodbye else "online"
        if heartbeat.goodbye:
            changes.append(Change("node.offline", node.node_id, "goodbye", _keys(heartbeat)))
        changes += self._drain_changes(node)
        changes += _pause_changes(before, node)
        changes += self._inventory_changes(node, before, now)
        if changes or before is None or before.engines != heartbeat.engines:
            self._gone = {place: since for place, since in self._gone.items() if place[0] != node.node_id}
            self._reindex(node.node_id)
        elif self._found_again(node.node_id, now):
            self._reindex(node.node_id)
        return changes

    def sweep(self, now: float) -> list[Change]:
        """Degrade and drop nodes by their silence."""
        changes = []
        for node in self._nodes.values():
            silent = now - node.seen_at
            status: Status = "online"
            if silent > self._offline_s:
                status = "offline"
            elif silent > self._timeout_s:
                status = "degraded"
            if status != "online" and status != node.status and node.status != "offline":
                node.status = status
                kind: ChangeKind = "node.offline" if status == "offline" else "node.degraded"
                changes.append(Change(kind, node.node_id, f"silent for {silent:.0f} s", _keys(node.heartbeat)))
        return changes

    def drain(self, node_id: str, drained: bool) -> list[Change]:
        """The operator's word: no new work for this node, whatever its heartbeats say, until he takes it back."""
        (self._drained.add if drained else self._drained.discard)(node_id)
        node = self._nodes.get(node_id)
        return self._drain_changes(node) if node is not None else []

    def forget(self, node_id: str) -> bool:
        self._drained.discard(node_id)
        found = self._nodes.pop(node_id, None) is not None
        if found:
            self._reindex(node_id)
        return found

    def model_gone(self, node_id: str, engine: str, key: str) -> None:
        """The engine denies a model it had reported: believed until its inventory changes, or lists it for long."""
        self._gone[node_id, engine, key] = None
        self._came.pop((node_id, engine, key), None)
        self._reindex(node_id)

    def engines(self, node: Node) -> tuple[EngineReport, ...]:
        """Its engines as it reported them, without the models that they deny since then."""
        gone = {place[1:] for place in self._gone if place[0] == node.node_id}
        if not gone:
            return node.heartbeat.engines
        return tuple(
            msgspec.structs.replace(
                one, models=tuple(model for model in one.models if (one.name, model_key(model.name)) not in gone)
            )
            for one in node.heartbeat.engines
        )

    def _found_again(self, node_id: str, now: float) -> bool:
        """Whether a report that still lists what its engine denied is one too many to be old."""
        for place, since in list(self._gone.items()):
            if place[0] == node_id and since is None:
                self._gone[place] = now
            elif place[0] == node_id and since is not None and now - since > DENIED_S:
                del self._gone[place]
                return True
        return False

    def model_came(self, node_id: str, engine: str, model: ModelReport, now: float) -> None:
        """The engine itself lists a model that its node has not reported yet."""
        key = (node_id, engine, model_key(model.name))
        self._gone.pop(key, None)
        self._came[key] = (model, now)
        node = self._nodes.get(node_id)
        if node is not None:
            node.heartbeat = self._with_arrivals(node.heartbeat, now)
        self._reindex(node_id)

    def _with_arrivals(self, heartbeat: Heartbeat, now: float) -> Heartbeat:
        """The report with the models that came after it was made; what it has itself need not be kept any longer."""
        for (node_id, name, key), (model, since) in list(self._came.items()):
            engine = next((one for one in heartbeat.engines if one.name == name), None)
            if node_id != heartbeat.node_id or engine is None:
                continue
            if now - since > BELIEVED_S or any(model_key(known.name) == key for known in engine.models):
                if now > since:
                    del self._came[node_id, name, key]
                continue
            grown = msgspec.structs.replace(engine, models=(*engine.models, model))
            engines = tuple(grown if one is engine else one for one in heartbeat.engines)
            heartbeat = msgspec.structs.replace(heartbeat, engines=engines)
        return heartbeat

    def model_loaded(self, node_id: str, engine: str, key: str, now: float) -> list[Change]:
        """The engine has just served or loaded a model that its node had reported as not loaded."""
        node = self._nodes.get(node_id)
        if node is None:
            return []
        self._served[node_id, engine, key] = now
        before = node.heartbeat
        node.heartbeat = self._as_served(before, now)
        self._reindex(node_id)
        return self._inventory_changes(node, before, now)

    def model_left(self, node_id: str, engine: str, key: str) -> None:
        """The engine was told to let the model go: its node's reports are believed again."""
        self._served.pop((node_id, engine, key), None)

    def _as_served(self, heartbeat: Heartbeat, now: float) -> Heartbeat:
        """The report, corrected by what was seen after it was made."""
        self._served = {place: at for place, at in self._served.items() if now - at < SERVED_S}
        seen = {(engine, key) for node_id, engine, key in self._served if node_id == heartbeat.node_id}
        if not seen:
            return heartbeat
        engines = tuple(
            msgspec.structs.replace(
                engine,
                models=tuple(
                    _loaded_if(model, (engine.name, model_key(model.name)) in seen) for model in engine.models
                ),
            )
            for engine in heartbeat.engines
        )
        return msgspec.structs.replace(heartbeat, engines=engines)

    def size_bytes(self, holding: Holding) -> int | None:
        """Memory the model takes, best knowledge first: measured here, measured anywhere, size on disk and a fifth."""
        model = holding.model
        if model.loaded and model.resident_bytes:
            return model.resident_bytes
        measured = self._resident.get(holding.key)
        if measured is not None:
            return measured
        return int(model.size_bytes * DISK_TO_MEMORY) if model.size_bytes else None

    def usable_bytes(self, node: Node) -> int | None:
        """Memory left for models: what is available, at most up to the owner's ceiling."""
        machine, capacity = node.heartbeat.machine, node.heartbeat.capacity
        if not machine.memory_total_bytes:
            return None
        if capacity is not None and capacity.ceiling_bytes > 0:
            return min(machine.memory_available_bytes, capacity.ceiling_bytes)
        return machine.memory_available_bytes

    def _drain_changes(self, node: Node) -> list[Change]:
        """A node drains when its operator or the node itself says so."""
        draining = node.heartbeat.draining or node.node_id in self._drained
        if draining == node.draining:
            return []
        node.draining = draining
        kind: ChangeKind = "node.draining" if draining else "node.resumed"
        by = "operator" if node.node_id in self._drained else "node"
        return [Change(kind, node.node_id, by if draining else "", _keys(node.heartbeat))]

    def _inventory_changes(self, node: Node, before: Heartbeat | None, now: float) -> list[Change]:
        old = {engine.name: engine for engine in before.engines} if before is not None else {}
        new = {engine.name: engine for engine in node.heartbeat.engines}
        changes: list[Change] = []
        for name in old.keys() | new.keys():
            was, is_ = old.get(name), new.get(name)
            if was == is_:
                continue
            was_up, is_up = bool(was and was.healthy), bool(is_ and is_.healthy)
            models = tuple({model_key(m.name) for engine in (was, is_) if engine for m in engine.models})
            if was_up != is_up:
                changes.append(Change("engine.up" if is_up else "engine.down", node.node_id, name, models))
            changes += self._model_changes(node, was, is_, now)
        return changes

    def _model_changes(
        self, node: Node, was: EngineReport | None, is_: EngineReport | None, now: float
    ) -> list[Change]:
        old = {model_key(m.name): m for m in was.models} if was is not None else {}
        new = {model_key(m.name): m for m in is_.models} if is_ is not None else {}
        changes: list[Change] = []
        for key in old.keys() | new.keys():
            before, after = old.get(key), new.get(key)
            if before is None or after is None:
                kind: ChangeKind = "model.added" if before is None else "model.removed"
                changes.append(Change(kind, node.node_id, key, (key,)))
            was_loaded, loaded = bool(before and before.loaded), bool(after and after.loaded)
            if was_loaded and not loaded:
                node.unloaded[key] = now
                while len(node.unloaded) > UNLOADS_KEPT:
                    del node.unloaded[next(iter(node.unloaded))]
            if was_loaded != loaded:
                changes.append(Change("model.loaded" if loaded else "model.unloaded", node.node_id, key, (key,)))
        return changes

    def _reindex(self, node_id: str) -> None:
        """Bring the index up to date with what one node holds: only its models are touched."""
        node = self._nodes.get(node_id)
        held = self._held(node) if node is not None else {}
        touched = self._by_node.get(node_id, {}).keys() | held.keys()
        if node is None:
            self._by_node.pop(node_id, None)
            self._loaded.pop(node_id, None)
        else:
            self._by_node[node_id] = held
            self._loaded[node_id] = tuple(one for line in held.values() for one in line if one.model.loaded)
        for key in touched:
            line = tuple(holding for by_key in self._by_node.values() for holding in by_key.get(key, ()))
            if line:
                self._by_model[key] = line
            else:
                self._by_model.pop(key, None)
                self._resident.pop(key, None)

    def _held(self, node: Node) -> dict[str, list[Holding]]:
        held: dict[str, list[Holding]] = {}
        for engine in node.heartbeat.engines:
            for model in engine.models:
                key = model_key(model.name)
                if (node.node_id, engine.name, key) not in self._gone:
                    held.setdefault(key, []).append(Holding(node, engine, model, key))
                    if model.loaded and model.resident_bytes:
                        self._resident[key] = model.resident_bytes
        return held


def _loaded_if(model: ModelReport, seen: bool) -> ModelReport:
    return msgspec.structs.replace(model, loaded=True) if seen and not model.loaded else model


def _pause_changes(before: Heartbeat | None, node: Node) -> list[Change]:
    """Its owner needs the machine, or no longer."""
    was = before.capacity if before is not None else None
    now = node.heartbeat.capacity
    paused = now is not None and now.mode == "paused"
    if paused == (was is not None and was.mode == "paused"):
        return []
    why = now.reason if now is not None and paused else ""
    return [Change("node.paused" if paused else "node.unpaused", node.node_id, why, _keys(node.heartbeat))]


def _keys(heartbeat: Heartbeat) -> tuple[str, ...]:
    return tuple({model_key(model.name) for engine in heartbeat.engines for model in engine.models})


def _only_draining(before: Heartbeat, drain: Heartbeat) -> Heartbeat:
    """A bare drain message says nothing about the inventory: keep what was known."""
    return Heartbeat(
        node_id=before.node_id, wire=before.wire, version=before.version, sent_at=drain.sent_at,
        door_port=before.door_port, door_secret=before.door_secret, advertise_host=before.advertise_host,
        draining=True, goodbye=drain.goodbye, machine=before.machine, engines=before.engines, capacity=before.capacity,
    )  # fmt: skip
