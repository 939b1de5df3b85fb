"""The open history, and the few rows kept for good: settings, admitted nodes, benchmark runs. Knows no request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, delete
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.store.database import FILE, DatabaseUnusable, open_engine, open_writing_engine
from app.store.records import BenchmarkRecord, NodeRecord, SettingRecord
from app.store.services import BenchmarkService, NodeService, SettingService
from app.store.tables import Node, Setting


class Store:
    """One database file, already migrated. ``writing`` is the trace writer's own connection, used in a thread."""

    def __init__(self, engine: AsyncEngine, writing: Engine) -> None:
        self.engine = engine
        self.writing = writing

    @classmethod
    async def open(cls, data_dir: Path) -> Self:
        """Raises ``DatabaseUnusable`` when nothing was migrated there."""
        if not (data_dir / FILE).is_file():
            raise DatabaseUnusable(f"there is no {FILE} in {data_dir}")
        store = cls(open_engine(data_dir), open_writing_engine(data_dir))
        try:
            async with store.engine.connect():
                return store
        except BaseException:
            await store.aclose()
            raise

    async def aclose(self) -> None:
        self.writing.dispose()
        await self.engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at its end, unless an error leaves it."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def settings(self) -> list[SettingRecord]:
        async with self.session() as session:
            return await SettingService(session=session).records()

    async def put_setting(self, record: SettingRecord) -> None:
        async with self.session() as session:
            await SettingService(session=session).put(record)

    async def delete_setting(self, section: str, key: str) -> None:
        """Deleting what is not there changes nothing."""
        async with self.session() as session:
            await session.execute(delete(Setting).where(Setting.section == section, Setting.key == key))

    async def nodes(self) -> list[NodeRecord]:
        async with self.session() as session:
            return await NodeService(session=session).records()

    async def put_node(self, record: NodeRecord) -> None:
        async with self.session() as session:
            await NodeService(session=session).put(record)

    async def forget_node(self, node_id: str) -> None:
        """Forgetting who is not there changes nothing."""
        async with self.session() as session:
            await session.execute(delete(Node).where(Node.node_id == node_id))

    async def put_benchmark(self, record: BenchmarkRecord) -> None:
        async with self.session() as session:
            await BenchmarkService(session=session).put(record)
