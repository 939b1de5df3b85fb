"""Services over the tables, each with its inner repository. Knows no page and no request."""

from typing import Any

import msgspec
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from sqlalchemy.dialects.sqlite import insert

from app.store.records import BenchmarkRecord, NodeRecord, SettingRecord, TraceRecord
from app.store.tables import BenchmarkRun, Node, Setting, Trace


class SettingService(SQLAlchemyAsyncRepositoryService[Setting]):
    class Repo(SQLAlchemyAsyncRepository[Setting]):
        model_type = Setting

    repository_type = Repo

    async def records(self) -> list[SettingRecord]:
        return [msgspec.convert(row, SettingRecord, from_attributes=True) for row in await self.get_many()]

    async def put(self, record: SettingRecord) -> None:
        """Insert or replace in one statement, so that two hands at once cannot collide."""
        values = msgspec.structs.asdict(record)
        await self.repository.session.execute(
            insert(Setting).values(values).on_conflict_do_update(index_elements=["section", "key"], set_=values)
        )


class NodeService(SQLAlchemyAsyncRepositoryService[Node]):
    class Repo(SQLAlchemyAsyncRepository[Node]):
        model_type = Node

    repository_type = Repo

    async def records(self) -> list[NodeRecord]:
        return [msgspec.convert(row, NodeRecord, from_attributes=True) for row in await self.get_many()]

    async def put(self, record: NodeRecord) -> None:
        """Insert or replace in one statement, so that two hands at once cannot collide."""
        values = msgspec.structs.asdict(record)
        await self.repository.session.execute(
            insert(Node).values(values).on_conflict_do_update(index_elements=["node_id"], set_=values)
        )


class BenchmarkService(SQLAlchemyAsyncRepositoryService[BenchmarkRun]):
    class Repo(SQLAlchemyAsyncRepository[BenchmarkRun]):
        model_type = BenchmarkRun

    repository_type = Repo

    async def records(self, *filters: Any) -> list[BenchmarkRecord]:
        rows = await self.get_many(*filters, order_by=[("timestamp", True)])
        return [msgspec.convert(row, BenchmarkRecord, from_attributes=True) for row in rows]

    async def put(self, record: BenchmarkRecord) -> None:
        """Insert or replace in one statement."""
        values = msgspec.structs.asdict(record)
        await self.repository.session.execute(
            insert(BenchmarkRun).values(values).on_conflict_do_update(index_elements=["run_id"], set_=values)
        )


class TraceService(SQLAlchemyAsyncRepositoryService[Trace]):
    class Repo(SQLAlchemyAsyncRepository[Trace]):
        model_type = Trace

    repository_type = Repo


def trace_record(row: Trace) -> TraceRecord:
    return msgspec.convert(row, TraceRecord, from_attributes=True)
