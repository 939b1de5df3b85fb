"""The database starts whatever was done to its file, and says what it put aside."""

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from advanced_alchemy.alembic.commands import AlembicCommands
from advanced_alchemy.config import AlembicSyncConfig, SQLAlchemySyncConfig
from sqlalchemy.exc import DatabaseError

from app.store import database
from app.store.database import FILE, DatabaseUnusable, migrate
from app.store.records import SettingRecord
from app.store.store import Store
from app.store.tables import Trace


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def drop_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE setting")


def become_a_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def scramble_pages(path: Path) -> None:
    for page in range(1, path.stat().st_size // 4096):
        overwrite(path, page * 4096, b"\xff" * 512)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(os.urandom(20_000)),
    "text": lambda path: path.write_text("this is no database " * 100),
    "header gone": lambda path: overwrite(path, 0, b"\0" * 100),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "pages scrambled": scramble_pages,
    "a table is missing": drop_a_table,
    "a folder in its place": become_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_damaged_file_is_put_aside_and_a_new_one_begun(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    migrate(tmp_path)
    damage(tmp_path / FILE)
    aside = migrate(tmp_path)
    assert aside is not None
    assert aside.name.startswith("herd.db.damaged-")
    assert aside.exists()
    store = await Store.open(tmp_path)
    await store.put_setting(SettingRecord(section="a", key="b", value=1, changed_at=0))
    await store.aclose()
    assert migrate(tmp_path) is None


def test_a_second_damaged_file_of_the_day_gets_a_name_of_its_own(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        (tmp_path / FILE).write_text("no database at all, but long enough to be taken for one" * 20)
        names.add(migrate(tmp_path))
    assert len(names) == 3


def test_the_write_ahead_log_goes_aside_with_its_file(tmp_path: Path) -> None:
    for tail in ("", "-wal", "-shm"):
        (tmp_path / (FILE + tail)).write_bytes(os.urandom(5000))
    aside = migrate(tmp_path)
    assert aside is not None
    assert (tmp_path / (aside.name + "-wal")).exists()


def test_an_empty_file_and_a_stray_write_ahead_log_are_no_damage(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    (tmp_path / (FILE + "-wal")).write_bytes(os.urandom(5000))
    assert migrate(tmp_path) is None


async def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    migrate(tmp_path)
    store = await Store.open(tmp_path)
    await store.put_setting(
        SettingRecord(section="a", key="b", value={"x": [1, None]}, changed_at=1.5, changed_by="me")
    )
    await store.aclose()
    assert migrate(tmp_path) is None
    store = await Store.open(tmp_path)
    assert await store.settings() == [
        SettingRecord(section="a", key="b", value={"x": [1, None]}, changed_at=1.5, changed_by="me")
    ]
    await store.aclose()


def test_a_file_of_a_newer_herd_is_left_alone_and_said_to_be_so(tmp_path: Path) -> None:
    migrate(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE alembic_versions SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match="newer Herd"):
        migrate(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []


def test_a_folder_that_is_none_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnusable, match="cannot use the database"):
        migrate(tmp_path / "file")


def test_on_a_full_disk_no_sound_file_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise DatabaseError("", None, sqlite3.OperationalError("disk I/O error"))

    migrate(tmp_path)
    monkeypatch.setattr(database, "_upgrade", fail)
    monkeypatch.setattr(database.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(DatabaseUnusable, match="the disk is full"):
        migrate(tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if "damaged" in path.name]


def test_a_migration_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "_expect_tables", fail)
    with pytest.raises(sqlite3.OperationalError):
        migrate(tmp_path)
    monkeypatch.undo()
    assert migrate(tmp_path) is None


def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    migrate(tmp_path)
    config = SQLAlchemySyncConfig(
        connection_string=f"sqlite:///{tmp_path / FILE}",
        metadata=Trace.metadata,
        alembic_config=AlembicSyncConfig(script_location=str(Path(database.__file__).parent / "migrations")),
    )
    AlembicCommands(config).check()


def test_nothing_is_left_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    migrate(tmp_path / "home")
    assert list((tmp_path / "cwd").iterdir()) == []
    assert [path.name for path in (tmp_path / "home").iterdir()] == [FILE]


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
async def test_every_file_of_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "new"
    migrate(home)
    store = await Store.open(home)
    await store.put_setting(SettingRecord(section="a", key="b", value=1, changed_at=0))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    await store.aclose()
    assert set(modes.values()) == {0o600}
    assert FILE + "-wal" in modes
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
