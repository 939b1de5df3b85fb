"""The models of the whole fleet: one entry per model, and who can tell more about it. Knows no dialect."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from app.errors import HerdError, ModelAbsent, NodeFailed
from app.fleet.node_client import NodeClient
from app.fleet.registry import Holding, Registry
from node.wire import ModelReport, model_key

SHOWN_MOST = 500
"""Answers of ``/api/show`` that are kept."""
SHOWN_BYTES_MOST = 256 * 1024


@dataclass(frozen=True, slots=True)
class FleetModel:
    """A model and everybody who can serve it; ``best`` is the report shown (a loaded one before one on disk)."""

    key: str
    best: ModelReport
    holdings: tuple[Holding, ...]

    @property
    def digests(self) -> dict[str, list[str]]:
        """Which nodes hold which weights under this name: more than one entry means that they differ."""
        found: dict[str, list[str]] = {}
        for holding in self.holdings:
            if holding.model.digest:
                found.setdefault(holding.model.digest, []).append(holding.node.node_id)
        return found

    @property
    def node_ids(self) -> list[str]:
        return list(dict.fromkeys(holding.node.node_id for holding in self.holdings))


@dataclass(frozen=True, slots=True)
class Shown:
    """What an engine says of a model, as it said it."""

    node_id: str
    told: bytes


class Inventory:
    """Answers from what the registry knows; asks an engine only for what heartbeats do not carry.

    ``operations`` are what is done with the models of each modality.
    """

    def __init__(self, registry: Registry, nodes: NodeClient, operations: Mapping[str, str]) -> None:
        self._registry = registry
        self._nodes = nodes
        self._operations = dict(operations)
        self._shown: dict[tuple[str, str], bytes] = {}

    def models(self) -> list[FleetModel]:
        """Models on nodes that are not offline and engines that are up and use them, in order of their names.

        An engine may hold models that it does nothing with: an Ollama that makes no pictures any more keeps the files.
        """
        found: dict[str, list[Holding]] = {}
        for holding in self._registry.all_holdings():
            engine, operation = holding.engine, self._operations.get(holding.model.modality)
            used = bool(engine.operations) and (operation is None or operation in engine.operations)
            if holding.node.status != "offline" and engine.healthy and used:
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

    async def show(self, name: str, question: bytes = b"") -> Shown | None:
        """The word of an engine that speaks Ollama's dialect about the model; None: no such engine holds it.

        ``question`` is the client's own, if it asks for more than the usual: only the usual answer is kept, by digest.
        """
        model = self.model(name)
        if model is None:
            raise ModelAbsent(f"model '{name}' not found")
        last: HerdError | None = None
        for holding in sorted(model.holdings, key=lambda one: not one.model.loaded):
            if "ollama" not in holding.engine.dialects:
                continue
            node_id, digest, spelt = holding.node.node_id, holding.model.digest, holding.model.name
            if not question and (digest, spelt) in self._shown:
                return Shown(node_id, self._shown[digest, spelt])
            asked = question or msgspec.json.encode({"model": spelt})
            try:
                told = await self._nodes.ask(node_id, holding.engine.name, "/api/show", asked)
            except ModelAbsent as error:
                self._registry.model_gone(node_id, holding.engine.name, holding.key)
                last = error
            except NodeFailed as error:
                last = error
            else:
                if digest and not question:
                    self._keep(digest, spelt, told)
                return Shown(node_id, told)
        if last is not None:
            raise last
        return None

    def _keep(self, digest: str, name: str, told: bytes) -> None:
        if len(told) <= SHOWN_BYTES_MOST:
            self._shown[digest, name] = told
            if len(self._shown) > SHOWN_MOST:
                del self._shown[next(iter(self._shown))]
