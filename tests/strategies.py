"""Hypothesis strategies for judgement: any demand, any candidate, facts missing as they do in life. Knows no test."""

from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st

from app.scoring.types import Candidate, Demand, Load
from node.wire import Capacity, CapacityMode, Machine, ModelReport

settings.register_profile("calm", deadline=None)  # a crowded machine is no failure
settings.load_profile("calm")

GIB = 1024**3

sizes = st.integers(1, 800 * GIB)
maybe_sizes = st.none() | sizes
counts = st.integers(0, 40)

loads = st.builds(
    Load, running=counts, waiting=counts, slots=st.integers(1, 8), node_running=counts, node_waiting=counts
)
capacities = st.builds(
    Capacity,
    mode=st.sampled_from(list(get_args(CapacityMode))),
    availability=st.floats(0, 1),
    ceiling_bytes=st.just(0) | sizes,
)
models = st.builds(
    ModelReport,
    name=st.sampled_from(["llama3.3:70b", "qwen3:8b", "gemma3"]),
    loaded=st.booleans(),
    context_length=st.none() | st.integers(1, 300_000),
    capabilities=st.sampled_from([(), ("completion",), ("completion", "vision")]),
)
machines = st.builds(
    Machine,
    memory_total_bytes=st.just(0) | sizes,
    pressure=st.sampled_from(["normal", "warn", "critical", "unavailable"]),
)
candidates = st.builds(
    Candidate,
    node_id=st.sampled_from([f"node-{i}" for i in range(6)]),
    engine=st.sampled_from(["ollama", "llama"]),
    model=models,
    status=st.sampled_from(["online", "degraded", "offline"]),
    draining=st.booleans(),
    healthy=st.booleans(),
    operations=st.sampled_from([("chat",), ("embed",)]),
    machine=machines,
    capacity=st.none() | capacities,
    category=st.sampled_from(["", "general", "coding"]),
    size_bytes=maybe_sizes,
    usable_bytes=maybe_sizes,
    evictable_bytes=st.just(0) | sizes,
    load=loads,
    p75_s=st.none() | st.floats(0, 10_000),
    unloaded_s_ago=st.none() | st.floats(0, 10_000),
    last_granted=counts,
)
demands = st.builds(
    Demand,
    modality=st.just("llm"),
    operation=st.just("chat"),
    models=st.just(("llama3.3:70b",)),
    prompt_tokens=st.integers(0, 500_000),
    needs=st.sampled_from([(), ("vision",)]),
)
fleets = st.lists(
    candidates, max_size=8, unique_by=lambda candidate: (candidate.node_id, candidate.engine, candidate.model.name)
)
