"""What was used: sums of traces by time, node, model and tag. Knows no page.

Spans are epoch seconds, widened to whole hours (UTC).
"""

import math
from collections.abc import Sequence
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

    ``bucket`` is its first epoch second. ``failed`` holds what the fleet owes its client: clients that left are
    ``disconnected``.
    """

    bucket: int = 0
    node_id: str = ""
    model: str = ""
    modality: str = ""
    tag: str = ""
    requests: int
    completed: int
    failed: int
    disconnected: int
    latency_ms: float
    first_token_ms: float
    first_tokens: int
    prompt_tokens: int
    completion_tokens: int
    decode_ms: float
    decode_tokens: int
    retries: int
    fallbacks: int
    latency_least_ms: float | None
    latency_most_ms: float | None
    first_at: float
    last_at: float

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


def _use(by: Sequence[Key], row: tuple[Any, ...]) -> Use:
    names = (*by, *ADDED, *LEAST, *MOST)
    return Use(**dict(zip(names, row, strict=True)))
