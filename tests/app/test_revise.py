"""What requests used becomes an override, in the book and in the store, and only there. Over a real database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from builders import model, node
from traces import NOW, trace

from app.fleet.registry import Registry
from app.modalities.llm.manifest import MODALITY
from app.modalities.llm.settings import LanguageModels
from app.revise import Reviser
from app.settings.book import Book
from app.settings.resolve import Source
from app.settings.schema import Settings
from app.store.database import migrate
from app.store.store import Store
from app.store.writer import TraceWriter


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    migrate(tmp_path)
    opened = await Store.open(tmp_path)
    yield opened
    await opened.aclose()


async def revised(store: Store, sources: dict[str, Source]) -> Book:
    """A week of short requests to a model with a large context, then one round of revising."""
    writer = TraceWriter(store)
    for number in range(-25, 0):
        writer.put(trace(number, model="llama3:8b", prompt_tokens=900, completion_tokens=100))
    await writer.flush()
    registry = Registry(timeout_s=15, offline_s=30)
    registry.apply(node("a", model("llama3:8b", loaded=True, context_length=131072)), "127.0.0.1", 0.0)
    told = LanguageModels(num_ctx_auto_calculate=True, num_ctx_overrides={"other:1": 8192})
    book = Book(Settings(modalities={"llm": told}), sources)
    await Reviser(book=book, store=store, registry=registry, modalities=[MODALITY], wall=lambda: NOW).revise()
    return book


async def test_a_context_of_which_little_is_used_gets_an_override_beside_the_others(store: Store) -> None:
    book = await revised(store, {})
    assert book.settings.modalities["llm"].num_ctx_overrides == {"other:1": 8192, "llama3:8b": 4096}
    assert [record.key for record in await store.settings() if record.section != "audit"] == ["num_ctx_overrides"]


async def test_overrides_that_were_set_outside_are_left_alone(store: Store) -> None:
    book = await revised(store, {"num_ctx_overrides": "environment"})
    assert book.settings.modalities["llm"].num_ctx_overrides == {"other:1": 8192}
