"""The one hand that inserts and prunes traces: collects them, writes them in batches, in a thread. Knows no request.

Each trace gets its row's id before its first write, and a row that is already there is left alone: a batch whose end is
not known (the disk failed, the router was told to stop) is simply written again.
"""

import asyncio
import secrets
import time
from collections import deque
from threading import Lock
from typing import Any

import msgspec
import structlog
from sqlalchemy import JSON, text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError, StatementError

from app.store.database import to_json
from app.store.records import TraceRecord
from app.store.store import Store
from app.store.sums import ADD_NEW
from app.store.tables import Trace, TraceTag

BATCH_ROWS = 200
BATCH_S = 0.25
RETRY_LEAST_S = 0.25
RETRY_MOST_S = 5.0
LAST_TRIES = 3
PRUNE_ROWS = 2000
FAILURES_KEPT = 256

_NO_ROW = (
    DataError, IntegrityError, InterfaceError, ProgrammingError, UnicodeError, OverflowError, TypeError, ValueError,
)  # fmt: skip
"""What is the row's own fault; anything else is the disk's, and is tried again."""
_JSON = tuple(column.name for column in Trace.__table__.columns if isinstance(column.type, JSON))
# Compiled once and given to the driver as it is: SQLAlchemy's work for each row costs more than SQLite's.
_INSERT = str(
    insert(Trace).on_conflict_do_nothing(index_elements=["id"]).compile(dialect=sqlite_dialect(paramstyle="named"))
)
_INSERT_TAG = insert(TraceTag).on_conflict_do_nothing(index_elements=["tag", "trace_id"])
_THERE = text("SELECT id FROM trace WHERE id IN (SELECT value FROM json_each(:ids))")
_DOOMED = "SELECT id FROM trace WHERE timestamp < :before ORDER BY timestamp, id LIMIT :rows"
_REMEMBER = text(
    f"""
    INSERT INTO trace_total (model, requests, prompt_tokens, completion_tokens)
    SELECT model, count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)
    FROM trace WHERE id IN ({_DOOMED}) AND status = 'completed' GROUP BY model
    ON CONFLICT (model) DO UPDATE SET
      requests = requests + excluded.requests,
      prompt_tokens = prompt_tokens + excluded.prompt_tokens,
      completion_tokens = completion_tokens + excluded.completion_tokens
    """  # noqa: S608 - a constant, no foreign text
)
_DELETE = text(f"DELETE FROM trace WHERE id IN ({_DOOMED})")  # noqa: S608


class Batch:
    """Rows on their way. ``bad`` is set by the thread once they are written: how many no database could hold."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, TraceRecord]] = []
        self.bad: int | None = None


class TraceWriter:
    """Every trace that was put is written exactly once or counted in ``dropped``.

    At most ``limit`` traces wait; when the disk takes nothing for long, the oldest are dropped. ``failed_at`` has the
    moments (epoch seconds) of the last failures.
    """

    def __init__(self, store: Store, limit: int = 10_000) -> None:
        self.dropped = 0
        self.written = 0
        self.failures = 0
        self.failed_at: deque[float] = deque(maxlen=FAILURES_KEPT)
        self._store = store
        self._limit = limit
        self._waiting: deque[TraceRecord] = deque()
        self._batch = Batch()
        # Grows with time and cannot meet the ids of an earlier run: 2**20 ids for each millisecond.
        self._next_id = (int(time.time() * 1000) << 20) | secrets.randbits(20)
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._turn = asyncio.Lock()
        self._inside = Lock()
        self._log = structlog.get_logger("store")

    def put(self, record: TraceRecord) -> None:
        """Take a trace to be written soon. Never waits."""
        if len(self._waiting) + len(self._batch.rows) >= self._limit and self._waiting:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(record)
        self._some.set()
        if len(self._waiting) >= BATCH_ROWS:
            self._enough.set()

    async def run(self) -> None:
        """Write until cancelled: a batch when it is full or a quarter of a second old, again when the disk failed."""
        pause = RETRY_LEAST_S
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(BATCH_S):
                    await self._enough.wait()
            except TimeoutError:
                pass
            self._enough.clear()
            if await self._write_next():
                pause = RETRY_LEAST_S
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST_S)

    async def flush(self) -> None:
        """Write all that waits. What the disk refuses three times is counted as dropped."""
        tries = LAST_TRIES
        while (self._waiting or self._batch.rows) and tries:
            if not await self._write_next():
                tries -= 1
                await asyncio.sleep(RETRY_LEAST_S if tries else 0)
        if lost := len(self._waiting) + len(self._batch.rows):
            self.dropped += lost
            self._waiting.clear()
            self._batch = Batch()
            self._log.error("traces.lost", count=lost)

    async def prune(self, days: int, now: float) -> int:
        """Delete traces older than ``days`` (0 keeps all); ``now`` is epoch seconds. Answers how many were deleted."""
        if days <= 0:
            return 0
        deleted = PRUNE_ROWS
        total = 0
        while deleted == PRUNE_ROWS:
            async with self._turn:
                deleted = await asyncio.to_thread(self._prune_some, now - days * 86400.0)
            total += deleted
        if total:
            self._log.info("traces.pruned", count=total, days=days)
        return total

    async def _write_next(self) -> bool:
        """Write one batch; false when the disk would not take it. A cancelled call leaves the batch to the next."""
        async with self._turn:
            batch = self._batch
            if not batch.rows:
                batch.rows = [(self._id(), self._waiting.popleft()) for _ in range(min(BATCH_ROWS, len(self._waiting)))]
            if not self._waiting:
                self._some.clear()
            if not batch.rows:
                return True
            try:
                await asyncio.to_thread(self._insert, batch)
            except Exception as error:  # whatever a disk can do: the batch stays, the requests go on
                self.failures += 1
                self.failed_at.append(time.time())
                self._some.set()
                self._log.warning(
                    "traces.write_failed", waiting=len(self._waiting) + len(batch.rows), error=_words(error)
                )
                return False
            bad = batch.bad or 0
            self._batch = Batch()
            self.written += len(batch.rows) - bad
            self.dropped += bad
            if len(self._waiting) >= BATCH_ROWS:
                self._enough.set()
            return True

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _insert(self, batch: Batch) -> None:
        """In a thread; a batch that is already written is left alone."""
        with self._inside:  # a cancelled call's thread may still be at work on the same batch
            if batch.bad is not None:
                return
            try:
                self._insert_rows(batch.rows)
            except Exception as error:
                if not _rows_fault(error):
                    raise
                batch.bad = sum(not self._insert_alone(entry) for entry in batch.rows)
            else:
                batch.bad = 0

    def _insert_alone(self, entry: tuple[int, TraceRecord]) -> bool:
        try:
            self._insert_rows([entry])
        except Exception as error:
            if not _rows_fault(error):
                raise
            self._log.error("trace.unwritable", request_id=entry[1].request_id, error=_words(error))
            return False
        return True

    def _insert_rows(self, batch: list[tuple[int, TraceRecord]]) -> None:
        with self._store.writing.begin() as connection:
            there = set(connection.scalars(_THERE, {"ids": to_json([row_id for row_id, _ in batch])}))
            batch = [entry for entry in batch if entry[0] not in there]
            if not batch:
                return
            connection.exec_driver_sql(_INSERT, [_row(row_id, record) for row_id, record in batch])
            tags = [{"tag": tag, "trace_id": row_id} for row_id, record in batch for tag in set(record.tags or ())]
            if tags:
                connection.execute(_INSERT_TAG, tags)
            for adding in ADD_NEW:
                connection.execute(adding, {"ids": to_json([row_id for row_id, _ in batch])})

    def _prune_some(self, before: float) -> int:
        with self._inside, self._store.writing.begin() as connection:
            return _prune(connection, {"before": before, "rows": PRUNE_ROWS})


def _prune(connection: Connection, which: dict[str, float]) -> int:
    connection.execute(_REMEMBER, which)
    return connection.execute(_DELETE, which).rowcount


def _row(row_id: int, record: TraceRecord) -> dict[str, Any]:
    row = msgspec.structs.asdict(record)
    row["id"] = row_id
    for name in _JSON:
        if row[name] is not None:
            row[name] = to_json(row[name])
    return row


def _rows_fault(error: Exception) -> bool:
    """SQLAlchemy wraps what a value's encoder raised into a ``StatementError`` of its own."""
    wrapped = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    return wrapped or isinstance(error, _NO_ROW)


def _words(error: Exception) -> str:
    return repr(error.orig) if isinstance(error, DBAPIError) else repr(error)
