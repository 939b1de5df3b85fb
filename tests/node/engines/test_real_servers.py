"""Real llama.cpp servers at a URL, each started another way: what they are for is found out by asking them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from programs import Program
from tiny_reranker import tiny_reranker

from node.engines import discover
from node.engines.discover import Engines

pytestmark = pytest.mark.real_engine
Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server for a model file with these words; its URL."""
    with ExitStack() as stack:

        def start(model: Path, *words: str) -> str:
            command = [sys.executable, "-m", "node.engines.llama_child", "--model", str(model), "--name", model.stem]
            command += ["--context", "512", "--parallel", "2", "--threads", "1", *words]
            said = tmp_path / f"{model.stem}{''.join(words)}.txt"
            return stack.enter_context(Program(command, said)).until_said(r'"address": "([^"]+)"', within_s=60)

        yield start


async def test_what_a_real_server_was_started_for_is_what_its_node_reports(
    serve: Serve, http, demo_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "OLLAMA_PORT", 9)
    tiny = tmp_path / "tiny.gguf"
    tiny.write_bytes(tiny_reranker())
    ranks, embeds = serve(tiny, "--reranking"), serve(tiny, "--embedding")
    chats, both = serve(demo_model), serve(demo_model, "--embedding")
    engines = Engines(
        ollama_host="http://127.0.0.1:9",
        engine_flags=(
            f"ranks={ranks}", f"rerank:ranks-told={ranks}", f"llm:ranks-wrong={ranks}",
            f"embeds={embeds}", f"embed:embeds-told={embeds}", f"rerank:embeds-wrong={embeds}",
            f"chats={chats}", f"llm:chats-told={chats}", f"embed:chats-wrong={chats}",
            f"both={both}",
        ),
        models_dir=tmp_path / "none", slots=None, http=http, lan_addresses=list, well_known=(), finders=(),
    )  # fmt: skip
    reports = {report.name: report for report in await engines.observe()}
    found = {name: (told.models[0].modality, told.operations) for name, told in reports.items() if told.healthy}
    rerank, embed, llm = ("rerank", ("rerank",)), ("embed", ("embed",)), ("llm", ("chat", "generate"))
    assert found == {
        "ranks": rerank, "ranks-told": rerank, "embeds": embed, "embeds-told": embed, "chats": llm, "chats-told": llm,
        "both": llm,  # its vectors are one for each token, which OpenAI's API has no place for
    }  # fmt: skip
    errors = {name: told.error.rpartition(": ")[2] for name, told in reports.items() if not told.healthy}
    assert errors == {
        "ranks-wrong": "it is no engine for llm.",
        "embeds-wrong": "it is no engine for rerank.",
        "chats-wrong": "it is no engine for embed.",
    }
    slots = [slot for url in (ranks, embeds, chats, both) for slot in (await http.get(url + "/slots")).json()]
    assert not [slot for slot in slots if slot["is_processing"]]
    assert {report.models[0].slots for report in reports.values() if report.healthy} == {2}
