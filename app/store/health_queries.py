"""What health asks of the history: where something happened, and how fast answers were written. Knows no check."""

from typing import Literal

from sqlalchemy import func, select, text

from app.store.records import Pace, Troubled
from app.store.store import Store
from app.store.tables import HourSum

Trouble = Literal["slow_failures", "expired"]
PAIRS_MOST = 50
_SUBSTITUTED = text(
    "SELECT original_model, count(*) AS number FROM trace WHERE fallback_used = 1 AND timestamp >= :start "
    "AND how = 'substitute' GROUP BY original_model ORDER BY number DESC"
)


async def troubled(store: Store, what: Trouble, *, start: float) -> list[Troubled]:
    """Where it happened since ``start`` (a whole hour), most often first."""
    column = getattr(HourSum, what)
    number = func.sum(column).label("number")
    question = (
        select(HourSum.node_id, HourSum.model, number)
        .where(HourSum.hour >= start, column > 0)
        .group_by(HourSum.node_id, HourSum.model)
        .order_by(number.desc())
        .limit(PAIRS_MOST)
    )
    async with store.session() as session:
        rows = (await session.execute(question)).all()
    return [Troubled(node_id=node_id, model=model, count=count) for node_id, model, count in rows]


async def paces(store: Store, *, start: float, end: float, requests_least: int) -> list[Pace]:
    """How fast each model wrote on each node from ``start`` to ``end`` (whole hours), where enough requests say so."""
    requests, milliseconds, tokens = (
        func.sum(getattr(HourSum, name)) for name in ("decodes", "decode_ms", "decode_tokens")
    )
    question = (
        select(HourSum.node_id, HourSum.model, requests, milliseconds / tokens)
        .where(HourSum.hour >= start, HourSum.hour < end, HourSum.decodes > 0)
        .group_by(HourSum.node_id, HourSum.model)
        .having(requests >= requests_least)
    )
    async with store.session() as session:
        rows = (await session.execute(question)).all()
    return [Pace(node_id=node_id, model=model, requests=count, token_ms=ms) for node_id, model, count, ms in rows]


async def substituted(store: Store, *, start: float) -> dict[str, int]:
    """The models that were asked for since ``start`` and answered by another of the router's choice."""
    async with store.session() as session:
        return dict((await session.execute(_SUBSTITUTED, {"start": start})).tuples().all())
