"""What was used: sums of traces by time, node, model and tag. Knows no page.

Spans are epoch seconds, widened to whole hours (UTC).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Integer, cast, func, select

from app.store.store import Store
from app.store.sums import ADDED, LEAST, MOST
from app.store.tables import HourSum, TagSum

HOUR_S = 3600
Key = Literal["bucket", "node_id", "model", "modality", "tag"]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one group; the keys that were not asked for are empty. Durations and tokens are of what completed.

    ``bucket`` is its first epoch second. ``failed`` holds what the fleet owes its client, what broke off
    (``incomplete``) and what made no progress (``expired``) among it: clients that left are ``disconnected``.
    ``decodes`` are requests with a decode rate, ``empty`` answers without a token, ``slow_failures`` attempts that
    took minutes and came to nothing. ``context_stripped`` and ``context_reloaded``: another context than the
    client's was named, the one that was loaded or a larger one; ``context_short``: it was too small for the prompt.
    """

    bucket: int = 0
    node_id: str = ""
    model: str = ""
    modality: str = ""
    tag: str = ""
    requests: int = 0
    completed: int = 0
    failed: int = 0
    disconnected: int = 0
    latency_ms: float = 0.0
    first_token_ms: float = 0.0
    first_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    decode_ms: float = 0.0
    decode_tokens: int = 0
    retries: int = 0
    fallbacks: int = 0
    decodes: int = 0
    incomplete: int = 0
    expired: int = 0
    expired_ms: float = 0.0
    cold_loads: int = 0
    slow_failures: int = 0
    empty: int = 0
    context_stripped: int = 0
    context_reloaded: int = 0
    context_short: int = 0
    latency_least_ms: float | None = None
    latency_most_ms: float | None = None
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def avg_latency_ms(self) -> float | None:
        return self.latency_ms / self.completed if self.completed else None

    @property
    def avg_first_token_ms(self) -> float | None:
        return self.first_token_ms / self.first_tokens if self.first_tokens else None

    @property
    def tokens_per_s(self) -> float | None:
        """Decode speed by the engines' own counters, each request weighing by its length."""
        return self.decode_tokens / self.decode_ms * 1000 if self.decode_ms else None

    @property
    def error_share(self) -> float | None:
        return self.failed / self.requests if self.requests else None


async def used(
    store: Store, *by: Key, start: float = 0.0, end: float = math.inf, bucket_s: float = HOUR_S, **only: str
) -> list[Use]:
    """One ``Use`` for each group of ``by``, in the order of its keys. By ``tag``, a trace counts for each of its tags.

    ``bucket_s`` is a multiple of an hour. ``only`` names keys and the word that each must have.
    """
    table: Any = TagSum if "tag" in by or "tag" in only else HourSum
    width = max(1, round(bucket_s / HOUR_S)) * HOUR_S
    keys = [
        (cast(table.hour / width, Integer) * width).label("bucket") if key == "bucket" else getattr(table, key)
        for key in by
    ]
    sums = [
        *(func.coalesce(func.sum(getattr(table, name)), 0) for name in ADDED),
        *(func.min(getattr(table, name)) for name in LEAST),
        *(func.max(getattr(table, name)) for name in MOST),
    ]
    wanted = [getattr(table, name) == word for name, word in only.items()]
    if start > 0:
        wanted.append(table.hour >= math.floor(start / HOUR_S) * HOUR_S)
    if math.isfinite(end):
        wanted.append(table.hour < end)
    question = select(*keys, *sums).where(*wanted).group_by(*keys).order_by(*keys)
    async with store.session() as session:
        rows = (await session.execute(question)).all()
    return [_use(by, tuple(row)) for row in rows if row[len(by)]]


def added(uses: Iterable[Use]) -> Use:
    """What several groups used together, as far as it grows by adding."""
    groups = tuple(uses)
    total: dict[str, Any] = {name: sum(getattr(use, name) for use in groups) for name in ADDED}
    return Use(**total)


def added_by(uses: Iterable[Use], key: Key) -> list[Use]:
    """The groups added up by one of their keys, in its order: one look at the sums answers several questions."""
    groups: dict[Any, list[Use]] = {}
    for use in uses:
        groups.setdefault(getattr(use, key), []).append(use)
    return [msgspec.structs.replace(added(groups[word]), **{key: word}) for word in sorted(groups)]


def _use(by: Sequence[Key], row: tuple[Any, ...]) -> Use:
    names = (*by, *ADDED, *LEAST, *MOST)
    return Use(**dict(zip(names, row, strict=True)))
