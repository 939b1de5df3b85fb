"""Checks of machines and engines as they are: memory, heat, disk, clients past the router. Pure; knows no history."""

from collections.abc import Iterator
from shlex import quote

from app.fleet.snapshot import NodeView
from app.insight import fixes
from app.insight.types import GB, Check, Facts, Finding, gb, listed, per_cent
from node.wire import ModelReport, model_key

SWAP_SHARE = 0.5
DISK_GRAVE_BYTES = 2 * GB
BLOAT = 1.5
BLOAT_LEAST_BYTES = GB
KV_GRAVE_PCT, KV_BAD_PCT = 50, 30
KV_OF_MACHINE = 0.1
"""Share of a machine's memory below which what models take beside their weights endangers nothing."""
SLOTS_ADVISED = 2
BITS = {"F32": 32, "F16": 16, "BF16": 16, "Q8": 8.5, "Q6": 6.6, "Q5": 5.7, "Q4": 4.8, "Q3": 3.9, "Q2": 3.0, "IQ4": 4.4,
        "IQ3": 3.5, "IQ2": 2.6, "MXFP4": 4.3, "AWQ": 4.5, "GPTQ": 4.5, "INT8": 8, "FP8": 8, "INT4": 4.5}  # fmt: skip
"""Bits of a weight, scales included, by the beginning of the quantization's name."""
BITS_UNKNOWN = 16


def memory_pressure(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        machine = node.machine
        if machine.pressure in ("warn", "critical"):
            used = machine.memory_total_bytes - machine.memory_available_bytes
            grave = machine.pressure == "critical"
            yield Finding(
                severity="critical" if grave else "warning", node_id=node.node_id,
                title=f"{node.node_id} is short of memory",
                description=f"{gb(used)} of {gb(machine.memory_total_bytes)} GB are in use, and its system says so "
                "itself. "
                + ("Models that are not loaded stay away from it." if grave else "It gets less of what needs memory."),
                fix=fixes.memory_users(machine.os),
                data={"used_gb": gb(used), "total_gb": gb(machine.memory_total_bytes), "pressure": machine.pressure},
            )  # fmt: skip


def swap_usage(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        machine = node.machine
        used, total = machine.swap_used_bytes or 0, machine.memory_total_bytes
        if total and used >= SWAP_SHARE * total:
            yield Finding(
                severity="warning", node_id=node.node_id, title=f"{node.node_id} swaps",
                description=f"{gb(used)} GB lie in swap, beside {gb(total)} GB of memory: what is read from there "
                "is slow.",
                fix=fixes.memory_users(machine.os),
                data={"swap_used_gb": gb(used), "total_gb": gb(total), "swap_pct": per_cent(used, total)},
            )  # fmt: skip


def kv_cache_bloat(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        fat = [model for model in _loaded(node) if _overhead(model) >= BLOAT_LEAST_BYTES and _is_fat(model)]
        if not fat:
            continue
        taken = sum(model.resident_bytes or 0 for model in fat)
        weights = sum(_weights(model) or 0 for model in fat)
        share = per_cent(taken - weights, taken)
        endangers = taken - weights > KV_OF_MACHINE * node.machine.memory_total_bytes
        slots = max(model.slots for model in fat)
        yield Finding(
            severity="critical" if share > KV_GRAVE_PCT and endangers else "warning" if share > KV_BAD_PCT else "info",
            node_id=node.node_id, title=f"Models take far more memory than their weights on {node.node_id}",
            description=f"{gb(taken)} GB are taken by {listed(model.name for model in fat)}, and {gb(weights)} GB "
            "of it are weights. The rest is context, kept for each request that may run at once.",
            fix=fixes.ollama_with(node.machine.os, **_thinner(slots)),
            data={
                "total_vram_gb": gb(taken), "estimated_weights_gb": gb(weights), "kv_cache_gb": gb(taken - weights),
                "kv_cache_pct": share,
                "bloated_models": [
                    {
                        "name": model.name, "vram_gb": gb(model.resident_bytes or 0),
                        "expected_gb": gb(_weights(model) or 0),
                        "overhead_pct": per_cent(_overhead(model), _weights(model) or 0),
                        "context_length": model.context_length,
                    }
                    for model in fat
                ],
            },
        )  # fmt: skip


def _thinner(slots: int) -> dict[str, str]:
    """Fewer requests at once where there are many, else the same context in half the bytes."""
    if slots > SLOTS_ADVISED:
        return {"OLLAMA_NUM_PARALLEL": str(SLOTS_ADVISED)}
    return {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0"}


def _is_fat(model: ModelReport) -> bool:
    weights = _weights(model)
    return bool(weights) and (model.resident_bytes or 0) > BLOAT * (weights or 0)


def _overhead(model: ModelReport) -> int:
    return (model.resident_bytes or 0) - (_weights(model) or 0)


def _weights(model: ModelReport) -> int | None:
    """What the file holds; else parameters by their bits; None: nobody knows."""
    if model.size_bytes:
        return model.size_bytes
    number, scale = model.parameters[:-1], {"M": 1e6, "B": 1e9, "T": 1e12}.get(model.parameters[-1:].upper())
    try:
        return int(float(number) * scale * _bits(model.quantization) / 8) if scale else None
    except ValueError:
        return None


def _bits(quantization: str) -> float:
    word = quantization.upper()
    return next((bits for name, bits in BITS.items() if word.startswith(name)), BITS_UNKNOWN)


def thermal_throttling(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        if node.machine.thermal == "warning":
            warm = node.machine.temperature_c
            yield Finding(
                severity="warning", node_id=node.node_id, title=f"{node.node_id} runs hot",
                description="Its processor is at its limit of heat" + (f" ({warm:.0f} °C)" if warm else "")
                + ": it slows down until it has cooled.",
                fix=f"# let air in, clean the fans, then if need be:\nherd pause {quote(node.node_id)} --for 30m",
                data={"temperature_c": warm},
            )  # fmt: skip


def disk_low(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        free = node.machine.disk_free_bytes
        if free is not None and free < max(facts.disk_reserve_bytes, DISK_GRAVE_BYTES):
            yield Finding(
                severity="critical" if free < DISK_GRAVE_BYTES else "warning", node_id=node.node_id,
                title=f"The disk of {node.node_id} is nearly full",
                description=f"{gb(free)} GB are left where its models lie. Nothing is pulled to it any more.",
                fix=fixes.disk_users(node.machine.os),
                data={"free_gb": gb(free), "total_gb": gb(node.machine.disk_total_bytes or 0)},
            )  # fmt: skip


def engine_down(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        for engine in node.engines:
            if not engine.healthy and not engine.quarantined:
                yield Finding(
                    severity="warning", node_id=node.node_id, title=f"{engine.name} on {node.node_id} does not answer",
                    description=engine.error or "Its node cannot reach it. Its models wait until it is back.",
                    fix=fixes.ollama_restart(node.machine.os)
                    if engine.kind == "ollama"
                    else f"# start {engine.name} there",
                    data={"engine": engine.name, "kind": engine.kind, "error": engine.error},
                )  # fmt: skip


def engine_quarantined(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        for engine in node.engines:
            if engine.quarantined:
                yield Finding(
                    severity="critical", node_id=node.node_id, title=f"{engine.name} on {node.node_id} crashes "
                    f"again and again",
                    description=engine.error or "It is tried once in ten minutes only.",
                    fix="# what it said stands in the node's log:\ntail -50 ~/.fleet-manager/logs/herd-node*.jsonl",
                    data={"engine": engine.name, "kind": engine.kind, "error": engine.error},
                )  # fmt: skip


def backend_bypass_clients(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        past = [(traffic.engine, client) for traffic in node.traffic for client in traffic.direct_clients]
        if past:
            peers = sorted({client.peer for _, client in past})
            yield Finding(
                severity="warning", node_id=node.node_id, title=f"Clients use {node.node_id} past the router",
                description=f"Its {listed(engine for engine, _ in past)} has connections from {listed(peers)}. The "
                "router does not see that load and cannot queue it.",
                fix="OLLAMA_HOST=http://ROUTER:11435  # in the environment of these clients",
                data={
                    "clients": [
                        {"peer": client.peer, "engine": engine, "connections": client.connections}
                        for engine, client in past
                    ]
                },
            )  # fmt: skip


def duplicate_runners(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        by_digest: dict[str, list[ModelReport]] = {}
        for model in _loaded(node):
            if model.digest:
                by_digest.setdefault(model.digest, []).append(model)
        twice = {digest: models for digest, models in by_digest.items() if len(models) > 1}
        if twice:
            spare = sum(
                sum(sorted(model.resident_bytes or 0 for model in models)[:-1]) for models in twice.values()
            )  # fmt: skip
            names = [model.name for models in twice.values() for model in models]
            yield Finding(
                severity="warning" if spare >= 32 * GB else "info", node_id=node.node_id,
                title=f"The same weights are loaded twice on {node.node_id}",
                description=f"{listed(names)} are the same file, and {gb(spare)} GB could be given back.",
                fix="\n".join(fixes.reload(models[-1].name) for models in twice.values()),
                data={"models": names, "reclaimable_gb": gb(spare)},
            )  # fmt: skip


def num_ctx_override_inert(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        other = [
            (model, said)
            for model in _loaded(node)
            if model.context_length
            and (said := facts.overrides.get(model_key(model.name)))
            and said != model.context_length
        ]
        if other:
            wide = any(model.context_length > said for model, said in other if model.context_length)
            tight = node.machine.memory_available_bytes < 40 * GB
            yield Finding(
                severity="warning" if wide and tight else "info", node_id=node.node_id,
                title=f"A context that the settings say is not in force on {node.node_id}",
                description=f"{listed(model.name for model, _ in other)}: loaded before it was said. It counts from "
                "the next time the model is loaded.",
                fix="\n".join(fixes.reload(model.name) for model, _ in other),
                data={
                    "models": [
                        {"model": model.name, "context_length": model.context_length, "override": said}
                        for model, said in other
                    ]
                },
            )  # fmt: skip


def _loaded(node: NodeView) -> list[ModelReport]:
    return [model for engine in node.engines if engine.healthy for model in engine.models if model.loaded]


CHECKS = (
    Check(
        id="memory_pressure", worst="critical", cost="present",
        docs="A node's system says that memory is short: a warning, or critical as the system has it.",
        look=memory_pressure,
    ),
    Check(
        id="swap_usage", worst="warning", cost="present", docs="As much as half of a node's memory lies in swap.",
        look=swap_usage,
    ),
    Check(
        id="kv_cache_bloat", worst="critical", cost="present",
        docs="Loaded models take 1.5 times their weights and 1 GB more than these. Of what they take, more than 30 "
        "% beside weights is a warning, more than 50 % (and a tenth of the machine) critical.",
        look=kv_cache_bloat,
    ),
    Check(
        id="thermal_throttling", worst="warning", cost="present", docs="A node's processor is at its limit of heat.",
        look=thermal_throttling,
    ),
    Check(
        id="disk_low", worst="critical", cost="present",
        docs="Less than `disk_reserve_gb` is free where a node's models lie; critical below 2 GB.", look=disk_low,
    ),
    Check(id="engine_down", worst="warning", cost="present", docs="An engine of a node does not "
    "answer.", look=engine_down),
    Check(
        id="engine_quarantined", worst="critical", cost="present",
        docs="An engine crashed five times in five minutes and is tried every ten.", look=engine_quarantined,
    ),
    Check(
        id="backend_bypass_clients", worst="warning", cost="present",
        docs="Other processes hold connections to an engine.", look=backend_bypass_clients,
    ),
    Check(
        id="duplicate_runners", worst="warning", cost="present",
        docs="One file of weights is loaded under two names; a warning from 32 GB on.", look=duplicate_runners,
    ),
    Check(
        id="num_ctx_override_inert", worst="warning", cost="present",
        docs="A loaded model has another context than `num_ctx_overrides` says; a warning if it is larger and less "
        "than 40 GB are free.",
        look=num_ctx_override_inert,
    ),
)  # fmt: skip
