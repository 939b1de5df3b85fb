"""Short builders for facts: machines, models, candidates, demands, heartbeats. Knows no test.

Memory is said in GB (1024 cubed) here, because tests read better so; the structs hold bytes.
"""

from typing import Any

from app.scoring.types import Candidate, Demand, Load
from node.wire import Capacity, EngineReport, Heartbeat, Machine, ModelReport

GIB = 1024**3


def gib(gb: float | None) -> int | None:
    return None if gb is None else round(gb * GIB)


def machine(total_gb: float = 64, available_gb: float = 48, **more: Any) -> Machine:
    return Machine(
        memory_total_bytes=round(total_gb * GIB),
        memory_available_bytes=round(available_gb * GIB),
        **{"pressure": "normal", **more},
    )


def model(name: str = "llama3.2:3b", *, gb: float | None = None, loaded: bool = False, **more: Any) -> ModelReport:
    """``gb`` is the size on disk and, while loaded, in memory too, unless ``resident_bytes`` says otherwise."""
    facts: dict[str, Any] = {"size_bytes": gib(gb), "resident_bytes": gib(gb) if loaded else None}
    return ModelReport(name=name, loaded=loaded, **{**facts, **more})


def engine(*models: ModelReport, name: str = "ollama", **more: Any) -> EngineReport:
    facts: dict[str, Any] = {
        "kind": name,
        "operations": ("chat", "generate", "embed"),
        "dialects": ("ollama", "openai"),
        "port": 11434,
        "reach": "lan",
    }
    return EngineReport(name=name, models=models, **{**facts, **more})


def node(node_id: str = "studio", *models: ModelReport, **more: Any) -> Heartbeat:
    """A heartbeat of a node with one healthy engine that has these models; ``engines`` in ``more`` replaces it."""
    facts: dict[str, Any] = {"machine": machine(), "engines": (engine(*models),), "door_port": 11436}
    return Heartbeat(node_id=node_id, **{**facts, **more})


def demand(*models: str, **more: Any) -> Demand:
    facts: dict[str, Any] = {"modality": "llm", "operation": "chat", "models": models or ("llama3.2:3b",)}
    return Demand(**{**facts, **more})


def candidate(
    node_id: str = "studio",
    model_name: str = "llama3.2:3b",
    *,
    gb: float | None = None,
    total_gb: float = 64,
    usable_gb: float | None = None,
    evictable_gb: float = 0,
    loaded: bool = False,
    context: int | None = None,
    running: int = 0,
    waiting: int = 0,
    slots: int = 1,
    others: int = 0,
    availability: float | None = None,
    ceiling_gb: float = 0,
    pressure: str = "normal",
    capabilities: tuple[str, ...] = (),
    **more: Any,
) -> Candidate:
    """One (node, model) pair. ``others`` are requests that run on the node's other models."""
    capacity = None
    if availability is not None:
        capacity = Capacity(mode="learned_high", availability=availability, ceiling_bytes=round(ceiling_gb * GIB))
    facts: dict[str, Any] = {
        "engine": "ollama",
        "operations": ("chat", "generate", "embed"),
        "dialects": ("ollama", "openai"),
        "model": model(model_name, gb=gb, loaded=loaded, context_length=context, capabilities=capabilities),
        "machine": machine(total_gb, usable_gb or 0, pressure=pressure),
        "capacity": capacity,
        "size_bytes": gib(gb),
        "usable_bytes": gib(usable_gb),
        "evictable_bytes": gib(evictable_gb),
        "load": Load(
            running=running, waiting=waiting, slots=slots, node_running=running + others, node_waiting=waiting
        ),
    }
    return Candidate(node_id=node_id, **{**facts, **more})
