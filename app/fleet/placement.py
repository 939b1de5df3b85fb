"""Where a model is brought: every engine that could take it, judged by a policy. Pure; knows no HTTP and no file."""

from collections.abc import Iterable

import msgspec

from app.catalog import Catalog
from app.errors import HerdError, HoldTimeout, NoRoom, NotFound, NotServed, RequestError
from app.fleet.registry import DISK_TO_MEMORY, Holding, Node, Registry
from app.scoring.chain import Chain
from app.scoring.types import Candidate, Demand, Holds, Ranking
from node.wire import EngineReport, ModelReport, model_key

BROKEN_MOST = 200
"""Broken pulls that are remembered."""


class Place(msgspec.Struct, frozen=True):
    """An engine of a node."""

    node_id: str
    engine: str


class Placement:
    """Chooses by the policy (``placement.toml``), or checks the node that was named."""

    def __init__(self, *, registry: Registry, catalog: Catalog, chain: Chain) -> None:
        self._chain = chain
        self._registry = registry
        self._catalog = catalog
        self._broken: dict[tuple[str, str], None] = {}

    def choose(self, name: str, operation: str, *, size_bytes: int | None = None) -> Place:
        """The best place. Raises ``NotServed`` when no engine here knows the operation, ``NoRoom`` with each reason."""
        ranking = self.rank(name, operation, size_bytes=size_bytes)
        if ranking.scored:
            best = ranking.scored[0].candidate
            return Place(best.node_id, best.engine)
        if not ranking.refused:
            raise NotServed(f"no engine in the fleet can {operation} models", hint="a node with an Ollama can")
        reasons = "; ".join(f"{refused.node_id}: {refused.reason}" for refused in ranking.refused)
        raise NoRoom(f"no node can take {name or 'a model'}: {reasons}")

    def named(self, node_id: str, operation: str) -> Place:
        """The engine of a node that the operator chose himself. Raises a ``HerdError`` that says why it cannot be."""
        node = self._registry.node(node_id)
        if node is None:
            raise NotFound(f"no node called {node_id} is known")
        if node.status == "offline":
            raise NotFound(f"{node_id} is offline")
        able = [engine for engine in node.heartbeat.engines if operation in engine.operations]
        up = next((engine for engine in able if engine.healthy), None)
        if up is None:
            raise _cannot(node_id, operation, able)
        return Place(node_id, up.name)

    def judge(self, name: str) -> None:
        """Raises a ``RequestError`` for a model that no engine pulls, with the command that brings it."""
        known = self._catalog.named(name)
        if known is not None and known.install:
            raise RequestError(f"no engine pulls {name}", hint=f"`{known.install}` on a node brings it")

    def rank(self, name: str, operation: str, *, size_bytes: int | None = None) -> Ranking:
        key = model_key(name)
        held = self._registry.holdings(key)
        size = size_bytes or self.size_bytes(name)
        candidates = [
            self._candidate(node, engine, name, key, held, size)
            for node in self._registry.nodes()
            for engine in node.heartbeat.engines
            if operation in engine.operations
        ]
        return self._chain.rank(Demand(modality="", operation=operation, models=(name,)), candidates)

    def size_bytes(self, name: str) -> int | None:
        """What the model takes on disk: as a node that has it reports, else as the catalogue says."""
        reported = (holding.model.size_bytes for holding in self._registry.holdings(model_key(name)))
        known = self._catalog.lookup(name)
        return next((size for size in reported if size), known.size_bytes if known else None)

    def broke_off(self, node_id: str, name: str) -> None:
        """A pull ended early and left a part of the model there: the next one of it should go on there."""
        self._broken[node_id, model_key(name)] = None
        if len(self._broken) > BROKEN_MOST:
            del self._broken[next(iter(self._broken))]

    def arrived(self, node_id: str, name: str) -> None:
        self._broken.pop((node_id, model_key(name)), None)

    def _candidate(
        self, node: Node, engine: EngineReport, name: str, key: str, held: Iterable[Holding], size: int | None
    ) -> Candidate:
        here = any(one.node is node and one.engine.name == engine.name for one in held)
        part: Holds = "part" if (node.node_id, key) in self._broken else "nothing"
        return Candidate(
            node_id=node.node_id,
            engine=engine.name,
            model=ModelReport(name=name, size_bytes=size),
            status=node.status,
            draining=node.draining,
            healthy=engine.healthy,
            operations=engine.operations,
            machine=node.heartbeat.machine,
            capacity=node.heartbeat.capacity,
            size_bytes=int(size * DISK_TO_MEMORY) if size else None,
            usable_bytes=self._registry.usable_bytes(node),
            evictable_bytes=sum(
                model.resident_bytes or 0
                for other in node.heartbeat.engines
                for model in other.models
                if model.loaded and other.kind == "ollama"
            ),
            holds="whole" if here else part,
        )


def _cannot(node_id: str, operation: str, able: list[EngineReport]) -> HerdError:
    if able:
        return HoldTimeout(f"{able[0].name} on {node_id} is down", retry_after_s=10)
    return NotServed(f"no engine of {node_id} can {operation} models")
