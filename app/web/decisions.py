"""A recorded decision for people and scripts: everybody who was ranked or refused, and why. Pure; knows no HTML."""

from typing import Any

import msgspec

from app.fleet.decisions import Decision
from app.scoring.types import Absent, Placed, Ranking, Scored
from app.web.requests import Point, points


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """``chosen`` got the request: the first, unless its slots were taken and another would be done no later."""

    place: int
    node: str
    engine: str
    model: str
    total: str
    load: str
    points: tuple[Point, ...]
    chosen: bool


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    model: str
    filter: str
    reason: str


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """``unit`` is what totals are in: points, or seconds of which less is better."""

    headline: str
    policy: str
    modality: str
    unit: str
    ranked: tuple[Ranked, ...]
    refused: tuple[RefusedRow, ...]


def decision_view(decision: Decision) -> DecisionView:
    ranking = _ranking(decision)
    return DecisionView(
        headline=_headline(decision, ranking),
        policy=ranking.policy,
        modality=decision.demand.modality,
        unit="seconds" if ranking.seconds else "points",
        ranked=tuple(_ranked(place, one, one is decision.chosen) for place, one in enumerate(ranking.scored, 1)),
        refused=tuple(
            RefusedRow(node=one.node_id, model=one.model, filter=one.filter, reason=one.reason)
            for one in ranking.refused
        ),
    )


def decision_twin(decision: Decision) -> dict[str, Any]:
    ranking = _ranking(decision)
    return {
        "request_id": decision.request_id,
        "demand": msgspec.to_builtins(decision.demand),
        "policy": ranking.policy,
        "verdict": type(decision.verdict).__name__.lower(),
        "attempt": decision.attempt,
        "chosen": None if decision.chosen is None else decision.chosen.candidate.node_id,
        "scored": [
            {
                "node_id": one.candidate.node_id,
                "engine": one.candidate.engine,
                "model": one.candidate.model.name,
                "total": round(one.total, 2),
                "points": {name: round(value, 2) for name, value in one.points.items()},
                "running": one.candidate.load.running,
                "waiting": one.candidate.load.waiting,
                "slots": one.candidate.load.slots,
            }
            for one in ranking.scored
        ],
        "refused": msgspec.to_builtins(ranking.refused),
    }


def _ranking(decision: Decision) -> Ranking:
    return Ranking(policy="") if isinstance(decision.verdict, Absent) else decision.verdict.ranking


def _headline(decision: Decision, ranking: Ranking) -> str:
    words = f"{len(ranking.scored)} could serve it, {len(ranking.refused)} could not"
    if decision.attempt > 1:
        words += f"; this is attempt {decision.attempt}, without those that failed before"
    if isinstance(decision.verdict, Absent):
        return "No node had any of its models."
    if decision.chosen is None:
        return f"Nobody took it in time: {words}."
    if isinstance(decision.verdict, Placed) and ranking.scored[0] is not decision.chosen:
        return f"The best had no slot free, and another was done no later: {words}."
    return f"The best of all had a slot free: {words}."


def _ranked(place: int, one: Scored, chosen: bool) -> Ranked:
    candidate = one.candidate
    load = candidate.load
    return Ranked(
        place=place,
        node=candidate.node_id,
        engine=candidate.engine,
        model=candidate.model.name,
        total=f"{one.total:.1f}",
        load=f"{load.running} of {load.slots} slots busy" + (f", {load.waiting} waiting" if load.waiting else ""),
        points=points(dict(one.points)),
        chosen=chosen,
    )
