"""What health asks of the history: where something happened, and where answers became slow. Knows no check."""

from typing import Any, Literal

from sqlalchemy import case, func, select, text

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


async def slower(store: Store, *, start: float, recent: float, times: float, requests_least: int) -> list[Pace]:
    """Where a token takes ``times`` as long since ``recent`` as from ``start`` until then (both whole hours).

    Each side is the mean of ``requests_least`` requests at least, by the engines' counters.
    """

    def total(name: str, *, lately: bool) -> Any:
        when = HourSum.hour >= recent if lately else HourSum.hour < recent
        return func.sum(case((when, getattr(HourSum, name)), else_=0))

    def pace(*, lately: bool) -> Any:
        return total("decode_ms", lately=lately) / total("decode_tokens", lately=lately)

    requests, recent_ms, usual_ms = total("decodes", lately=True), pace(lately=True), pace(lately=False)
    question = (
        select(HourSum.node_id, HourSum.model, requests, recent_ms, usual_ms)
        .where(HourSum.hour >= start, HourSum.decodes > 0)
        .group_by(HourSum.node_id, HourSum.model)
        .having(
            requests >= requests_least,
            total("decodes", lately=False) >= requests_least,
            recent_ms >= times * usual_ms,
        )
    )
    async with store.session() as session:
        rows = (await session.execute(question)).all()
    return [Pace(node_id=row[0], model=row[1], requests=row[2], recent_ms=row[3], usual_ms=row[4]) for row in rows]


async def substituted(store: Store, *, start: float) -> dict[str, int]:
    """The models that were asked for since ``start`` and answered by another of the router's choice."""
    async with store.session() as session:
        return dict((await session.execute(_SUBSTITUTED, {"start": start})).tuples().all())
