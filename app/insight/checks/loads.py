"""Checks of what is loaded where: thrashing, loads that time out, memory that nobody uses. Pure; knows no engine."""

from collections.abc import Iterator
from shlex import quote

from app.insight import fixes
from app.insight.types import GB, Check, Facts, Finding, gb, listed, often, per_cent
from node.wire import model_key

COLD_LEAST = 3
FREE_BYTES = 4 * GB
SLOW_LEAST = 3
UNUSED_SHARE = 0.5
LOADED_FEW = 2
LOADED_ADVISED = "8"
"""A positive number: Ollama reads -1 as nought, which is its own default."""
FALLBACKS_SHOWN, PULLS_SHOWN = 5, 3


def model_thrashing(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        span = facts.by_node.get(node.node_id)
        free = node.machine.memory_available_bytes
        if span is None or span.day.cold_loads < COLD_LEAST or free <= FREE_BYTES:
            continue
        active = span.hour.cold_loads > 0
        yield Finding(
            severity="warning" if active else "info", resolved=not active, node_id=node.node_id,
            title=f"{node.node_id} loads models again and again",
            description=f"{often(span.day.cold_loads, 'load')} from disk in 24 hours, with {gb(free)} GB of memory "
            "free: its engine lets models go that would have room.",
            fix=fixes.ollama_with(
                node.machine.os, OLLAMA_KEEP_ALIVE="-1", OLLAMA_MAX_LOADED_MODELS=LOADED_ADVISED
            ),
            data={
                "cold_loads_24h": span.day.cold_loads, "cold_loads_1h": span.hour.cold_loads, "available_gb": gb(free),
            },
        )  # fmt: skip


def model_load_timeout(facts: Facts) -> Iterator[Finding]:
    spans = facts.by_model
    if sum(span.day.slow_failures for span in spans.values()) < SLOW_LEAST:
        return
    for model, span in sorted(spans.items()):
        if span.day.slow_failures < SLOW_LEAST:
            continue
        active = span.hour.slow_failures > 0
        nodes = [pair.node_id for pair in facts.slow if pair.model == model and pair.node_id]
        yield Finding(
            severity="warning" if active else "info", resolved=not active, title=f"{model} does not load in time",
            node_id=nodes[0] if len(nodes) == 1 else None,
            description=f"{often(span.day.slow_failures, 'request')} failed or went elsewhere after more than two "
            f"minutes in 24 hours{', on ' + listed(nodes) if nodes else ''}.",
            fix=f"# keep it loaded where it fits:\nherd explain {quote(model)}",
            query=fixes.requests(status="failed", model=model),
            data={
                "model": model, "timeouts_24h": span.day.slow_failures, "timeouts_1h": span.hour.slow_failures,
                "nodes": nodes,
            },
        )  # fmt: skip


def underutilized_memory(facts: Facts) -> Iterator[Finding]:
    troubled = {found.node_id for found in model_thrashing(facts) if not found.resolved}
    for found in model_load_timeout(facts):
        if not found.resolved:
            troubled.update(found.data["nodes"])
    for node in facts.here:
        machine = node.machine
        loaded = {
            model_key(model.name)
            for engine in node.engines
            if engine.healthy
            for model in engine.models
            if model.loaded
        }
        total, free = machine.memory_total_bytes, machine.memory_available_bytes
        paused = node.draining or (node.capacity is not None and node.capacity.mode == "paused")
        if node.status != "online" or paused or node.node_id in troubled or not total:
            continue
        if free > UNUSED_SHARE * total and len(loaded) <= LOADED_FEW:
            yield Finding(
                severity="info", node_id=node.node_id, title=f"{node.node_id} has memory to spare",
                description=f"{gb(free)} of {gb(total)} GB are free, and {often(len(loaded), 'model')} loaded. More "
                "models kept there would answer without being loaded first.",
                fix=fixes.ollama_with(machine.os, OLLAMA_MAX_LOADED_MODELS=LOADED_ADVISED),
                data={
                    "available_gb": gb(free), "available_pct": per_cent(free, total), "models_loaded": len(loaded),
                },
            )  # fmt: skip


def vram_fallback_active(facts: Facts) -> Iterator[Finding]:
    asked = sorted(facts.substituted.items(), key=lambda pair: (-pair[1], pair[0]))[:FALLBACKS_SHOWN]
    if asked:
        total = sum(facts.substituted.values())
        yield Finding(
            severity="info", title="Other models answer than were asked for",
            description=f"{often(total, 'request')} in 24 hours got a loaded model of the same category: most "
            f"wanted {'was' if len(asked) == 1 else 'were'} {listed(model for model, _ in asked)}.",
            fix=fixes.pull(*(model for model, _ in asked[:PULLS_SHOWN])),
            data={
                "total_fallbacks": total,
                "top_requested": [{"model": model, "count": number} for model, number in asked],
            },
        )  # fmt: skip


CHECKS = (
    Check(
        id="model_thrashing", worst="warning", cost="sums",
        docs="A node loaded models from disk three times in 24 hours (an engine said 10 s of loading, or a stream "
        "waited 40 s) while more than 4 GB were free. Resolved after an hour without.",
        look=model_thrashing,
    ),
    Check(
        id="model_load_timeout", worst="warning", cost="sums",
        docs="Three requests for a model failed or were retried after more than 120 s. Resolved after an hour without.",
        look=model_load_timeout,
    ),
    Check(
        id="underutilized_memory", worst="info", cost="sums",
        docs="More than half of an online node's memory is free and at most two models are loaded. Silent while "
        "the node has `model_thrashing` or `model_load_timeout`.",
        look=underutilized_memory,
    ),
    Check(
        id="vram_fallback_active", worst="info", cost="traces",
        docs="The router let another model of the same category answer.", look=vram_fallback_active,
    ),
)  # fmt: skip
