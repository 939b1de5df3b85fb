"""The one SQLite file: its engine, its migrations, and what to do when it is damaged. Knows no row."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicSyncConfig, SQLAlchemySyncConfig
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.store.tables import Trace

FILE = "herd.db"
NEWEST = "head"
CHECK_MOST_S = 2.0
"""A file too large to be checked in this time is taken for sound."""
BUSY_S = 5.0
ROOM_LEAST = 1024 * 1024
"""With less free bytes than this, what fails is blamed on the disk and no file is set aside."""


class DatabaseUnusable(Exception):
    """The database can neither be used nor set aside; the message is a sentence for people."""


def open_engine(data_dir: Path) -> AsyncEngine:
    """The engine that the router reads and writes with. The file must have been migrated."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{data_dir / FILE}", json_serializer=to_json)
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def open_writing_engine(data_dir: Path) -> Engine:
    """The trace writer's own engine: synchronous, so that a cancelled task cannot leave a transaction half done."""
    engine = create_engine(f"sqlite:///{data_dir / FILE}", json_serializer=to_json)
    event.listen(engine, "connect", _prepare)
    return engine


def migrate(data_dir: Path) -> Path | None:
    """Bring ``herd.db`` to the newest form, before any event loop runs.

    A damaged file is renamed to ``herd.db.damaged-<date>`` and a new one begun; its new path is returned then.
    Raises ``DatabaseUnusable``: the folder cannot be written, or a newer Herd has written the file.
    """
    path = data_dir / FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = None if _sound(path) else _set_aside(path)
        try:
            _upgrade(path)
        except DatabaseError as error:
            if aside is not None or not _its_own_fault(path, error.orig):
                raise
            aside = _set_aside(path)
            _upgrade(path)
    except (OSError, DatabaseError) as error:
        why = "the disk is full" if not _room(path) else error.args[-1] if error.args else repr(error)
        raise DatabaseUnusable(f"cannot use the database {path}: {why}") from error
    except CommandError as error:
        raise DatabaseUnusable(f"the database {path} was written by a newer Herd: {error}") from error
    return aside


def _upgrade(path: Path, form: str = NEWEST) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)  # the write-ahead log takes its mode from this file
    os.close(handle)
    path.chmod(0o600)
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _by_hand)
    event.listen(engine, "begin", _begin)
    config = SQLAlchemySyncConfig(
        engine_instance=engine,
        metadata=Trace.metadata,
        alembic_config=AlembicSyncConfig(script_location=str(Path(__file__).parent / "migrations")),
    )
    try:
        AlembicCommands(config).upgrade(form)
        if form == NEWEST:
            _expect_tables(engine)
    finally:
        engine.dispose()


def _expect_tables(engine: Engine) -> None:
    """A file that claims the newest form without having its tables is damaged too."""
    missing = {table.name for table in Trace.metadata.sorted_tables} - set(inspect(engine).get_table_names())
    if missing:
        raise DatabaseError("", None, sqlite3.DatabaseError(f"tables are missing: {', '.join(sorted(missing))}"))


def _sound(path: Path) -> bool:
    if not path.exists():
        return True
    if not path.is_file():
        return False
    deadline = time.monotonic() + CHECK_MOST_S
    try:
        # Read-only: otherwise SQLite would delete the write-ahead log of a file whose head it cannot read.
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.OperationalError as error:
        return "interrupted" in str(error) or not _its_own_fault(path, error)
    except sqlite3.DatabaseError:
        return False


def _its_own_fault(path: Path, error: BaseException | None) -> bool:
    """Whether the file is to blame: not another process, and not a full disk, on which SQLite fails in many words."""
    if any(word in str(error) for word in ("locked", "busy", "full")):
        return False
    return _room(path)


def _room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free > ROOM_LEAST
    except OSError:
        return True


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y-%m-%d', time.gmtime())}")
    stem, number = aside.name, 1
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{stem}-{number}")
    for tail in ("", "-wal", "-shm"):
        part = path.with_name(path.name + tail)
        if part.exists():
            part.rename(aside.with_name(aside.name + tail))
    return aside


def _prepare(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"busy_timeout={int(BUSY_S * 1000)}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _by_hand(connection: Any, _: Any) -> None:
    """A migration is one transaction: the driver's own way would commit before each CREATE TABLE."""
    connection.isolation_level = None
    _prepare(connection, _)


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def to_json(value: Any) -> str:
    """A value as the JSON columns hold it."""
    return msgspec.json.encode(value).decode()
