"""A model that has just come to a node is known at once, before the node's next report. Knows no client."""

from collections.abc import Callable

import msgspec
import structlog

from app.errors import HerdError
from app.fleet.node_client import NodeClient
from app.fleet.registry import Registry
from node.wire import ModelReport, model_key


class _Details(msgspec.Struct):
    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class _Row(msgspec.Struct):
    name: str = ""
    size: int = 0
    digest: str = ""
    modified_at: str = ""
    details: _Details = msgspec.field(default_factory=_Details)
    capabilities: tuple[str, ...] = ()


class _Tags(msgspec.Struct):
    models: list[_Row] | None = None


class Arrivals:
    """Asks the engine what it now lists, and tells the registry. ``clock`` gives the registry's seconds."""

    def __init__(self, *, registry: Registry, nodes: NodeClient, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._nodes = nodes
        self._clock = clock

    async def learn(self, node_id: str, engine: str, name: str) -> None:
        """Nothing is learnt from an engine that cannot be asked: the node's next report will tell."""
        try:
            told = msgspec.json.decode(await self._nodes.ask(node_id, engine, "/api/tags", method="GET"), type=_Tags)
        except (HerdError, msgspec.DecodeError, UnicodeDecodeError) as error:
            structlog.get_logger("fleet").warning("model.unlisted", node=node_id, model=name, error=str(error))
            return
        for row in told.models or []:
            if row.name and model_key(row.name) == model_key(name):
                self._registry.model_came(node_id, engine, _report(row), self._clock())


def _report(row: _Row) -> ModelReport:
    return ModelReport(
        name=row.name,
        size_bytes=row.size or None,
        digest=row.digest.removeprefix("sha256:"),
        modified_at=row.modified_at,
        format=row.details.format,
        family=row.details.family,
        parameters=row.details.parameter_size,
        quantization=row.details.quantization_level,
        capabilities=row.capabilities,
    )
