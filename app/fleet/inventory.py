"""The models of the whole fleet: one entry per model, and who can tell more about it. Knows no dialect."""

from dataclasses import dataclass

import msgspec

from app.errors import ModelAbsent, NodeFailed
from app.fleet.node_client import NodeClient
from app.fleet.registry import Holding, Registry
from node.wire import ModelReport, model_key


@dataclass(frozen=True, slots=True)
class FleetModel:
    """A model and everybody who can serve it; ``best`` is the report shown (a loaded one before one on disk)."""

    key: str
    best: ModelReport
    holdings: tuple[Holding, ...]

    @property
    def node_ids(self) -> list[str]:
        return list(dict.fromkeys(holding.node.node_id for holding in self.holdings))


class Inventory:
    """Answers from what the registry knows; asks an engine only for what heartbeats do not carry."""

    def __init__(self, registry: Registry, nodes: NodeClient) -> None:
        self._registry = registry
        self._nodes = nodes

    def models(self) -> list[FleetModel]:
        """Models on nodes that are not offline and engines that are up, in order of their names."""
        found: dict[str, list[Holding]] = {}
        for holding in self._registry.all_holdings():
            if holding.node.status != "offline" and holding.engine.healthy and holding.engine.operations:
                found.setdefault(holding.key, []).append(holding)
        return [
            FleetModel(key, max(held, key=lambda one: one.model.loaded).model, tuple(held))
            for key, held in sorted(found.items())
        ]

    def model(self, name: str) -> FleetModel | None:
        key = model_key(name)
        return next((model for model in self.models() if model.key == key), None)

    def engine_versions(self, kind: str) -> list[str]:
        return [
            engine.version
            for node in self._registry.nodes()
            if node.status != "offline"
            for engine in node.heartbeat.engines
            if engine.kind == kind and engine.version
        ]

    async def show(self, name: str) -> bytes | None:
        """The word of an engine that speaks Ollama's dialect about the model; None: no such engine holds it."""
        model = self.model(name)
        if model is None:
            raise ModelAbsent(f"model '{name}' not found")
        last: NodeFailed | None = None
        for holding in model.holdings:
            if "ollama" not in holding.engine.dialects:
                continue
            question = msgspec.json.encode({"model": holding.model.name})
            try:
                return await self._nodes.ask(holding.node.node_id, holding.engine.name, "/api/show", question)
            except NodeFailed as error:
                last = error
        if last is not None:
            raise last
        return None
