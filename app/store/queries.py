"""What is asked of the history: one function per question, answered with plain structs. Knows no page."""

from collections.abc import Collection, Sequence

import msgspec
from advanced_alchemy.filters import LimitOffset
from sqlalchemy import ColumnElement, case, func, or_, select, union_all

from app.store.records import AttemptRecord, LatencySample, TokenUse, TraceRecord
from app.store.services import TraceService, trace_record
from app.store.store import Store
from app.store.tables import Trace, TraceTag, TraceTotal

TRACES_MOST = 1000
DAY_S = 86400.0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All that was ever completed, pruned traces included. Field names are those of ``/dashboard/api/overview``."""

    total_requests: int = 0
    total_prompt_tokens: int = 0
    total_completion_tokens: int = 0
    total_tokens: int = 0
    models_count: int = 0


async def recent_traces(
    store: Store,
    *,
    limit: int = 50,
    request_id: str | None = None,
    model: str | None = None,
    node_id: str | None = None,
    tag: str | None = None,
    status: str | None = None,
    statuses: Sequence[str] = (),
    modality: str | None = None,
    text: str = "",
    start: float | None = None,
    end: float | None = None,
) -> list[TraceRecord]:
    """The newest traces first, at most ``limit`` (1 to 1000), of which every given word is true.

    ``text`` stands somewhere in the request's id, models, error or client; ``start`` is included, ``end`` is not.
    """
    wanted: list[ColumnElement[bool]] = []
    if start is not None:
        wanted.append(Trace.timestamp >= start)
    if end is not None:
        wanted.append(Trace.timestamp < end)
    if statuses:
        wanted.append(Trace.status.in_(statuses))
    if text:
        places = (Trace.request_id, Trace.model, Trace.original_model, Trace.error_message, Trace.user_agent,
                  Trace.client_ip)  # fmt: skip
        wanted.append(or_(*(place.icontains(text, autoescape=True) for place in places)))
    for column, word in (
        (Trace.request_id, request_id),
        (Trace.model, model),
        (Trace.node_id, node_id),
        (Trace.status, status),
        (Trace.modality, modality),
    ):
        if word is not None:
            wanted.append(column == word)
    if tag is not None:
        wanted.append(Trace.id.in_(select(TraceTag.trace_id).where(TraceTag.tag == tag)))
    async with store.session() as session:
        rows = await TraceService(session=session).get_many(
            *wanted,
            LimitOffset(max(1, min(limit, TRACES_MOST)), 0),
            order_by=[("timestamp", True), ("id", True)],
        )
        return [trace_record(row) for row in rows]


async def newest_but(store: Store, count: int, *, end: float) -> float | None:
    """When the trace came that has ``count`` newer ones before ``end``; None if there are not so many."""
    question = select(Trace.timestamp).where(Trace.timestamp < end).order_by(Trace.timestamp.desc())
    async with store.session() as session:
        found: float | None = await session.scalar(question.offset(count).limit(1))
        return found


async def latency_samples(store: Store, *, per_pair: int = 500) -> list[LatencySample]:
    """The newest ``per_pair`` completed jobs of each (node, model), oldest first; models as engines spell them."""
    samples: list[LatencySample] = []
    async with store.session() as session:
        pairs = (await session.execute(select(Trace.node_id, Trace.model).distinct())).all()
        for node_id, model in pairs:
            newest = (
                select(Trace.latency_ms, Trace.queue_wait_ms, Trace.attempts)
                .where(Trace.node_id == node_id, Trace.model == model, Trace.status == "completed")
                .order_by(Trace.timestamp.desc())
                .limit(per_pair)
            )
            rows = (await session.execute(newest)).all()
            samples += [
                LatencySample(node_id=node_id, model=model, latency_s=_served_ms(*row) / 1000) for row in reversed(rows)
            ]
    return samples


async def overview_totals(store: Store) -> Totals:
    """All-time totals over what was completed: the traces that are kept and the sums of those that were pruned."""
    kept = (
        select(
            Trace.model.label("model"),
            func.count().label("requests"),
            func.coalesce(func.sum(Trace.prompt_tokens), 0).label("prompt"),
            func.coalesce(func.sum(Trace.completion_tokens), 0).label("completion"),
        )
        .where(Trace.status == "completed")
        .group_by(Trace.model)
    )
    pruned = select(TraceTotal.model, TraceTotal.requests, TraceTotal.prompt_tokens, TraceTotal.completion_tokens)
    both = union_all(kept, pruned).subquery()
    question = select(
        func.coalesce(func.sum(both.c.requests), 0),
        func.coalesce(func.sum(both.c.prompt), 0),
        func.coalesce(func.sum(both.c.completion), 0),
        func.count(both.c.model.distinct()),
    )
    async with store.session() as session:
        requests, prompt, completion, models = (await session.execute(question)).one()
    return Totals(
        total_requests=requests,
        total_prompt_tokens=prompt,
        total_completion_tokens=completion,
        total_tokens=prompt + completion,
        models_count=models,
    )


async def token_uses(store: Store, *, now: float, models: Collection[str] | None = None) -> list[TokenUse]:
    """What the completed requests of the last week took, for each model as engines spell it, or for these."""
    total = func.coalesce(Trace.prompt_tokens, 0) + func.coalesce(Trace.completion_tokens, 0)
    week = [Trace.status == "completed", Trace.timestamp >= now - 7 * DAY_S]
    if models is not None:
        week.append(Trace.model.in_(models))
    today = func.max(case((Trace.timestamp >= now - DAY_S, total), else_=0))
    uses = []
    async with store.session() as session:
        used = (
            await session.execute(select(Trace.model, func.count(), today).where(*week).group_by(Trace.model))
        ).all()
        for model, requests, most in used:
            longest = select(total).where(*week, Trace.model == model).order_by(total.desc())
            p99 = (await session.execute(longest.offset(requests // 100).limit(1))).scalar_one()
            uses.append(TokenUse(model=model, requests=requests, p99_tokens=p99, most_tokens=most))
    return uses


def _served_ms(latency_ms: float, queue_wait_ms: float, attempts: list[dict[str, object]]) -> float:
    """How long the attempt that completed took; the whole time holds the wait and the attempts that failed as well."""
    if attempts:
        return msgspec.convert(attempts[-1], AttemptRecord).latency_ms
    return max(0.0, latency_ms - queue_wait_ms)
