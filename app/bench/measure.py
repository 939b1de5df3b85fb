"""What a run has found: percentiles, and sums per model and per node. Pure; knows no kind of work by name.

Tokens per second of an answer come from the engine's own counters; what is not text is counted in its own unit and
never as tokens. A latency is what a client would have seen.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.fleet.snapshot import FleetSnapshot, NodeView

PERCENTILES = (50, 95, 99)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered (``ok``) or failed. ``units`` are in ``unit``; tokens are the engine's counts."""

    node_id: str
    model: str
    modality: str
    unit: str
    ok: bool
    latency_s: float = 0.0
    first_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    decode_s: float | None = None
    units: int = 0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a node was at one moment; percentages are 0 to 100."""

    node_id: str
    cpu_percent: float
    memory_percent: float | None
    running: int


def looks(snapshot: FleetSnapshot) -> list[Look]:
    return [
        Look(
            node_id=node.node_id,
            cpu_percent=node.machine.cpu_percent,
            memory_percent=_memory_percent(node),
            running=node.running,
        )
        for node in snapshot.nodes
        if node.status != "offline"
    ]


def percentile(values: Sequence[float], percent: float) -> float | None:
    """By linear interpolation between the two nearest of the sorted values; None of no value."""
    if not values:
        return None
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def decode_rate(samples: Iterable[Sample]) -> float | None:
    """Tokens per second while an answer is written, of those whose engines count both."""
    told = [sample for sample in samples if sample.ok and sample.decode_s and sample.completion_tokens]
    seconds = sum(sample.decode_s or 0.0 for sample in told)
    return round(sum(sample.completion_tokens for sample in told) / seconds, 2) if seconds else None


def totals(samples: Sequence[Sample], elapsed_s: float) -> dict[str, Any]:
    """The fields of a ``BenchmarkRecord`` that are sums."""
    done = [sample for sample in samples if sample.ok]
    tokens = sum(sample.completion_tokens for sample in done)
    firsts = [sample.first_s for sample in done if sample.first_s is not None]
    return {
        "total_requests": len(done),
        "total_failures": len(samples) - len(done),
        "total_prompt_tokens": sum(sample.prompt_tokens for sample in done),
        "total_completion_tokens": tokens,
        "requests_per_sec": _per_second(len(done), elapsed_s),
        "tokens_per_sec": decode_rate(done),
        "throughput_tok_s": _per_second(tokens, elapsed_s),
        **{f"latency_p{p}_ms": _ms(percentile([sample.latency_s for sample in done], p)) for p in PERCENTILES},
        **{f"ttft_p{p}_ms": _ms(percentile(firsts, p)) for p in PERCENTILES},
        "per_model_results": per_model(samples, elapsed_s),
        "per_node_results": per_node(samples, elapsed_s),
    }


def per_model(samples: Sequence[Sample], elapsed_s: float) -> list[dict[str, Any]]:
    """Most requests first. ``unit_s`` is what the fleet made of it per second: tokens, texts, pictures."""
    rows = []
    for (model, modality, unit), mine in _grouped(samples, "model", "modality", "unit"):
        done = [sample for sample in mine if sample.ok]
        firsts = [sample.first_s for sample in done if sample.first_s is not None]
        made = sum(sample.units for sample in done)
        rows.append(
            {
                "model": model,
                "model_type": modality,
                "requests": len(done),
                "failures": len(mine) - len(done),
                "tok_s": decode_rate(done),
                "unit": unit,
                "unit_s": _per_second(made, elapsed_s),
                "avg_latency_ms": _ms(_mean([sample.latency_s for sample in done])),
                "avg_ttft_ms": _ms(_mean(firsts)),
                "s_per_unit": round(sum(sample.latency_s for sample in done) / made, 3) if made else None,
            }
        )
    return sorted(rows, key=lambda row: (-row["requests"], row["model"]))


def per_node(samples: Sequence[Sample], elapsed_s: float) -> list[dict[str, Any]]:
    """``pct`` is a node's share of the requests, ``tok_s`` the pace of one answer there."""
    all_done = sum(sample.ok for sample in samples)
    rows = []
    for (node_id,), mine in _grouped(samples, "node_id"):
        done = [sample for sample in mine if sample.ok]
        tokens = sum(sample.completion_tokens for sample in done)
        rows.append(
            {
                "node_id": node_id,
                "requests": len(done),
                "failures": len(mine) - len(done),
                "pct": round(100 * len(done) / all_done, 1) if all_done else 0.0,
                "tok_s": decode_rate(done),
                "throughput_tok_s": _per_second(tokens, elapsed_s),
                "tokens": tokens,
            }
        )
    return sorted(rows, key=lambda row: (-row["requests"], row["node_id"]))


def utilisation(seen: Iterable[Look]) -> list[dict[str, Any]]:
    rows = []
    for (node_id,), mine in _grouped(list(seen), "node_id"):
        memory = [look.memory_percent for look in mine if look.memory_percent is not None]
        cpu = [look.cpu_percent for look in mine]
        rows.append(
            {
                "node_id": node_id,
                "cpu_avg": round(sum(cpu) / len(cpu), 1),
                "cpu_peak": max(cpu),
                "mem_avg": round(sum(memory) / len(memory), 1) if memory else None,
                "mem_peak": max(memory) if memory else None,
                "active_peak": max(look.running for look in mine),
            }
        )
    return sorted(rows, key=lambda row: str(row["node_id"]))


def _grouped(items: Sequence[Any], *names: str) -> list[tuple[tuple[Any, ...], list[Any]]]:
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for item in items:
        groups.setdefault(tuple(getattr(item, name) for name in names), []).append(item)
    return list(groups.items())


def _memory_percent(node: NodeView) -> float | None:
    machine = node.machine
    if not machine.memory_total_bytes:
        return None
    return round(100 * (1 - machine.memory_available_bytes / machine.memory_total_bytes), 1)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _per_second(number: float, elapsed_s: float) -> float:
    return round(number / elapsed_s, 3) if elapsed_s > 0 else 0.0
