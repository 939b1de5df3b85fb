"""What operators and scripts ask about the fleet: status, queue, the reasons of a choice, health. Knows no template."""

import time
from collections.abc import Callable
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec.structs import replace

from app.api.facts import Facts
from app.errors import ModelMissing
from app.fleet.dispatcher import Dispatcher
from app.fleet.judge import Court
from app.fleet.snapshot import FleetSnapshot, LineView, NodeView
from app.scoring.types import Held, Placed, Ranking, Verdict

GIB = 1024**3


class Status(Controller):
    @get("/fleet/status", summary="Nodes, engines, models and queues")
    async def status(self, take_snapshot: NamedDependency[Callable[[], FleetSnapshot]]) -> dict[str, Any]:
        shot = take_snapshot()
        here = [node for node in shot.nodes if not node.waiting_approval]
        loaded = sum(model.loaded for node in here for engine in node.engines for model in engine.models)
        return {
            "fleet": {
                "nodes_total": len(here),
                "nodes_online": sum(node.status == "online" for node in here),
                "models_loaded": loaded,
                "requests_active": shot.running,
            },
            "nodes": [_node(node) for node in shot.nodes],
            "queues": _queues(shot),
            "timestamp": shot.taken_at,
        }

    @get("/fleet/queue", summary="How long the queue is, light enough to poll")
    async def queue(self, take_snapshot: NamedDependency[Callable[[], FleetSnapshot]]) -> dict[str, Any]:
        shot = take_snapshot()
        pending, running = len(shot.waiting), shot.running
        return {
            "queue_depth": pending + running,
            "pending": pending,
            "in_flight": running,
            "completed": shot.completed,
            "failed": shot.failed,
            "retried": shot.retried,
            "rebalanced": shot.rebalanced,
            "reaped": shot.reaped,
            "prewarmed": shot.prewarmed,
            "estimated_wait_ms": _estimate_ms(shot, pending),
            "nodes_online": sum(node.status == "online" for node in shot.nodes),
            "queues": {
                key: {name: line[name] for name in ("pending", "in_flight", "concurrency", "model", "node_id")}
                for key, line in _queues(shot).items()
            },
            "waiting": [
                {
                    "request_id": view.request_id,
                    "model": view.model,
                    "position": view.position,
                    "waited_ms": round(view.waited_s * 1000),
                    "why": view.why,
                    "node_id": view.node_id,
                    "estimated_wait_ms": None if view.estimated_wait_s is None else round(view.estimated_wait_s * 1000),
                    "progress": view.progress,
                }
                for view in shot.waiting[:200]
            ],
            "pulls": shot.pulls,
            "timestamp": shot.taken_at,
        }

    @get("/fleet/explain", summary="Which node a request would go to, and why")
    async def explain(
        self,
        court: NamedDependency[Court],
        model: FromQuery[str] = "",
        tokens: FromQuery[int] = 0,
        context: FromQuery[int] = 0,
        needs: FromQuery[str] = "",
        substitutes: FromQuery[bool] = False,
    ) -> dict[str, Any]:
        """``context``: tokens that prompt and output take together; ``needs``: capabilities, with commas between."""
        if not model.strip():
            raise ModelMissing("name a model: /fleet/explain?model=NAME&tokens=N")
        needed = max(0, min(tokens, 2**31))
        demand = replace(
            court.usual(model, needed),
            context_needed=max(needed, min(context, 2**31)),
            needs=tuple(word for need in needs.split(",") if (word := need.strip())),
            substitutes=substitutes,
        )
        verdict = court.judge(demand, time.monotonic())
        ranking = verdict.ranking if isinstance(verdict, Placed | Held) else Ranking(policy=court.policy(demand))
        chosen = ranking.scored[0].candidate if isinstance(verdict, Placed) else None
        return {
            "model": model,
            "tokens": needed,
            "policy": ranking.policy,
            "verdict": _word(verdict),
            "chosen": chosen.node_id if chosen else None,
            "how": verdict.how if isinstance(verdict, Placed) else None,
            "scored": [
                {
                    "node_id": scored.candidate.node_id,
                    "engine": scored.candidate.engine,
                    "model": scored.candidate.model.name,
                    "total": round(scored.total, 2),
                    "points": {name: round(points, 2) for name, points in scored.points.items()},
                    "running": scored.candidate.load.running,
                    "waiting": scored.candidate.load.waiting,
                    "slots": scored.candidate.load.slots,
                }
                for scored in ranking.scored
            ],
            "refused": [
                {"node_id": refused.node_id, "model": refused.model, "filter": refused.filter, "reason": refused.reason}
                for refused in ranking.refused
            ],
        }

    @get("/healthz", summary="The router lives")
    async def healthz(self, facts: NamedDependency[Facts]) -> dict[str, str]:
        return {"status": "ok", "fleet_id": facts.fleet_id, "version": facts.version}

    @get("/readyz", summary="The router takes requests")
    async def readyz(self, dispatcher: NamedDependency[Dispatcher]) -> Response[dict[str, str]]:
        if dispatcher.closing:
            return Response({"status": "stopping"}, status_code=503, headers={"Retry-After": "5"})
        return Response({"status": "ready"})


def _word(verdict: Verdict) -> str:
    if isinstance(verdict, Held) and verdict.hopeless:
        return "refused"
    return verdict.__class__.__name__.lower()


def _node(node: NodeView) -> dict[str, Any]:
    """A node in the public field names; memory in GiB."""
    machine = node.machine
    total, available = machine.memory_total_bytes / GIB, machine.memory_available_bytes / GIB
    models = [model for engine in node.engines for model in engine.models]
    return {
        "node_id": node.node_id,
        "status": _status(node),
        "address": node.address,
        "version": node.version,
        "hardware": {
            "memory_total_gb": round(total, 2),
            "cores_physical": machine.cores,
            "chip": machine.chip,
            "os": machine.os,
            "arch": machine.arch,
        },
        "cpu": {"cores_physical": machine.cores, "utilization_pct": machine.cpu_percent},
        "memory": {
            "total_gb": round(total, 2),
            "used_gb": round(total - available, 2),
            "available_gb": round(available, 2),
            "pressure": machine.pressure,
            "swap_total_gb": _gib(machine.swap_total_bytes),
            "swap_used_gb": _gib(machine.swap_used_bytes),
        },
        "disk": {"total_gb": _gib(machine.disk_total_bytes), "available_gb": _gib(machine.disk_free_bytes)},
        "thermal": {"state": machine.thermal, "temperature_c": machine.temperature_c},
        "power": {"source": machine.power, "battery_percent": machine.battery_percent},
        "gpus": machine.gpus,
        "engines": node.engines,
        "traffic": node.traffic,
        "ollama": {
            "models_loaded": [
                {
                    "name": model.name,
                    "size_gb": round((model.resident_bytes or 0) / GIB, 2),
                    "parameter_size": model.parameters,
                    "quantization": model.quantization,
                    "context_length": model.context_length or 0,
                }
                for model in models
                if model.loaded
            ],
            "models_available": [model.name for model in models],
            "requests_active": node.running,
        },
        "capacity": node.capacity,
        "seen_s_ago": round(node.seen_s_ago, 1),
    }


def _gib(amount: int | None) -> float | None:
    return None if amount is None else round(amount / GIB, 2)


def _status(node: NodeView) -> str:
    """One word; a node that has gone is offline, whatever it said before."""
    if node.waiting_approval:
        return "waiting"
    return "draining" if node.draining and node.status != "offline" else node.status


def _queues(shot: FleetSnapshot) -> dict[str, dict[str, Any]]:
    words = {modality.name: modality.word for modality in shot.modalities}
    queues: dict[str, dict[str, Any]] = {}
    for line in shot.lines:
        key, number = f"{line.node_id}:{line.model}", 2
        while key in queues:
            key, number = f"{line.node_id}:{line.model}#{number}", number + 1
        queues[key] = _line(line, words.get(line.modality, line.modality))
    return queues


def _line(line: LineView, word: str) -> dict[str, Any]:
    return {
        "node_id": line.node_id,
        "model": line.model,
        "pending": line.waiting,
        "in_flight": line.running,
        "completed": line.completed,
        "failed": line.failed,
        "concurrency": line.slots,
        "lane": line.lane,
        "request_type": word,
        "estimated_wait_ms": None if line.estimated_wait_s is None else round(line.estimated_wait_s * 1000),
    }


def _estimate_ms(shot: FleetSnapshot, pending: int) -> int | None:
    """What a request arriving now would wait in the shortest busy line; null while nobody waits."""
    if not pending:
        return None
    waits = [line.estimated_wait_s for line in shot.lines if line.waiting and line.estimated_wait_s is not None]
    return round(min(waits) * 1000) if waits else None
