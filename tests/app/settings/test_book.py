"""The book changes a setting once, for everybody, and keeps it over a restart."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import BodyInvalid, SettingLocked
from app.modalities.sections import found
from app.settings.book import Book
from app.settings.schema import Queue, Settings
from app.store.database import migrate
from app.store.records import SettingRecord
from app.store.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    migrate(tmp_path)
    opened = await Store.open(tmp_path)
    yield opened
    await opened.aclose()


async def told(store: Store) -> list[SettingRecord]:
    """What is stored besides the list of changes."""
    return [record for record in await store.settings() if record.section != "audit"]


async def test_a_change_is_in_force_at_once_and_after_a_restart(store: Store) -> None:
    book = Book(Settings(), {}, wall=lambda: 12.5)
    before = book.settings
    await book.change(store, "queue", "hold_timeout", 7, by="anna")
    after = Book(Settings(), {})
    await after.load(store)
    assert (before.queue.hold_timeout, book.settings.queue.hold_timeout) == (30.0, 7.0)
    assert (after.settings, after.source("hold_timeout")) == (book.settings, "stored")
    assert await told(store) == [
        SettingRecord(section="queue", key="hold_timeout", value=7, changed_at=12.5, changed_by="anna")
    ]


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
async def test_what_is_set_outside_cannot_be_changed_within(store: Store, source: str) -> None:
    await store.put_setting(SettingRecord(section="queue", key="hold_timeout", value=9, changed_at=0))
    book = Book(Settings(queue=Queue(hold_timeout=5)), {"hold_timeout": source})  # type: ignore[dict-item]
    await book.load(store)
    with pytest.raises(SettingLocked):
        await book.change(store, "queue", "hold_timeout", 7, by="anna")
    with pytest.raises(SettingLocked):
        await book.reset(store, "queue", "hold_timeout", by="anna")
    assert (book.settings.queue.hold_timeout, book.source("hold_timeout")) == (5, source)
    assert [record.value for record in await told(store)] == [9]


async def test_posting_one_entry_of_a_mapping_keeps_the_others_and_null_removes_one(store: Store) -> None:
    book = Book(Settings(modalities=found()), {})
    await book.change(store, "llm", "num_ctx_overrides", {"a:1": 4096, "b:1": 8192}, by="anna")
    await book.change(store, "llm", "num_ctx_overrides", {"c:1": 16384, "a:1": None}, by="anna")
    after = Book(Settings(modalities=found()), {})
    await after.load(store)
    assert after.settings.modalities["llm"].num_ctx_overrides == {"b:1": 8192, "c:1": 16384}
    assert book.settings == after.settings


async def test_a_bad_value_changes_nothing(store: Store) -> None:
    book = Book(Settings(), {})
    for section, key, value in (("queue", "hold_timeout", "long"), ("queue", "nothing", 1), ("server", "port", -1)):
        with pytest.raises(BodyInvalid):
            await book.change(store, section, key, value, by="anna")
    assert (book.settings, await told(store)) == (Settings(), [])


async def test_a_reset_brings_the_default_back(store: Store) -> None:
    book = Book(Settings(), {})
    await book.change(store, "queue", "hold_timeout", 7, by="anna")
    await book.change(store, "queue", "max_retries", 1, by="anna")
    await book.reset(store, "queue", "hold_timeout", by="anna")
    assert (book.settings.queue.hold_timeout, book.source("hold_timeout")) == (30.0, "default")
    assert book.settings.queue.max_retries == 1


async def test_an_old_database_with_strange_values_keeps_no_router_from_starting(store: Store) -> None:
    for key, value in (("hold_timeout", [1]), ("gone_setting", 1), ("max_retries", 1)):
        await store.put_setting(SettingRecord(section="queue", key=key, value=value, changed_at=0))
    book = Book(Settings(), {})
    await book.load(store)
    assert (book.settings.queue.hold_timeout, book.settings.queue.max_retries) == (30.0, 1)


async def test_each_change_is_listed_with_its_hand_and_can_be_taken_back_after_a_restart(store: Store) -> None:
    book = Book(Settings(), {}, wall=lambda: 12.5)
    await book.change(store, "queue", "hold_timeout", 7, by="anna")
    await book.change(store, "queue", "hold_timeout", 8, by="bert")
    after = Book(Settings(), {}, wall=lambda: 13.5)
    await after.load(store)
    assert [(one.by, one.old, one.new, one.at) for one in after.changes] == [
        ("bert", 7.0, 8.0, 12.5), ("anna", 30.0, 7.0, 12.5),
    ]  # fmt: skip
    await after.undo(store, "hold_timeout", by="carl")
    assert (after.settings.queue.hold_timeout, after.changes[0].by) == (7.0, "carl")
    assert await after.undo(store, "queue_limit", by="carl") is None


async def test_undoing_the_first_change_of_a_setting_puts_the_default_back(store: Store) -> None:
    book = Book(Settings(modalities=found()), {})
    await book.change(store, "llm", "num_ctx_overrides", {"a:1": 4096}, by="anna")
    await book.undo(store, "num_ctx_overrides", by="anna")
    assert book.settings.modalities["llm"].num_ctx_overrides == {}
    assert book.source("num_ctx_overrides") == "default"
