"""How many tokens the completed requests of each model took, spread out. Knows no page and no context that is set."""

import time
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, select

from app.store.queries import DAY_S
from app.store.store import Store
from app.store.tables import Trace

PROMPT = ("avg", "p50", "p75", "p95", "p99", "max")


class ContextSpread(msgspec.Struct, frozen=True, kw_only=True):
    """``prompt_tokens``: avg, p50, p75, p95, p99, max. ``total_tokens``, answers included: p95, p99, max, max_24h."""

    model: str
    request_count: int
    prompt_tokens: dict[str, float]
    total_tokens: dict[str, int]


async def context_spreads(store: Store, *, days: int, now: float | None = None) -> list[ContextSpread]:
    """The busiest model first. A percentile is the value that so many of the requests do not exceed."""
    now = time.time() if now is None else now
    prompt, total = func.coalesce(Trace.prompt_tokens, 0), _total()
    numbered = (
        select(
            Trace.model, Trace.timestamp, prompt.label("prompt"), total.label("total"),
            func.row_number().over(partition_by=Trace.model, order_by=prompt).label("by_prompt"),
            func.row_number().over(partition_by=Trace.model, order_by=total).label("by_total"),
            func.count().over(partition_by=Trace.model).label("n"),
        )
        .where(Trace.status == "completed", Trace.timestamp >= now - days * DAY_S)
        .subquery()
    )  # fmt: skip
    c = numbered.c

    def at(percent: int, place: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.max(case((and_(place * 100 >= c.n * percent, (place - 1) * 100 < c.n * percent), value)))

    question = (
        select(
            c.model, func.count(), func.avg(c.prompt), *(at(p, c.by_prompt, c.prompt) for p in (50, 75, 95, 99)),
            func.max(c.prompt), *(at(p, c.by_total, c.total) for p in (95, 99)), func.max(c.total),
            func.max(case((c.timestamp >= now - DAY_S, c.total), else_=0)),
        )
        .group_by(c.model)
        .order_by(func.count().desc(), c.model)
    )  # fmt: skip
    async with store.session() as session:
        rows = (await session.execute(question)).all()
    return [
        ContextSpread(
            model=model,
            request_count=n,
            prompt_tokens=dict(zip(PROMPT, (round(avg, 1), *told[:5]), strict=True)),
            total_tokens=dict(zip(("p95", "p99", "max", "max_24h"), told[5:], strict=True)),
        )
        for model, n, avg, *told in rows
    ]


def _total() -> ColumnElement[Any]:
    return func.coalesce(Trace.prompt_tokens, 0) + func.coalesce(Trace.completion_tokens, 0)
