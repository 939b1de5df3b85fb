"""The embedded engine serves a folder of model files by real children, and is honest about what it does not serve."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from node.engines import embedded
from node.engines.discover import Engines
from node.engines.embedded import EmbeddedEngine, ModelFile, fitted
from node.engines.gguf import Head
from node.engines.process import Child, own_environment
from node.wire import EngineReport

MIB = 2**20


def _file(name: str, size_mib: int = 100, **more) -> ModelFile:
    return ModelFile(name=name, path=Path(f"/m/{name}.gguf"), size_bytes=size_mib * MIB, modified_at="", **more)


def test_the_smallest_get_room_first_and_the_others_a_reason():
    files = [_file("large", 4000), _file("small", 100), _file("middle", 1000)]
    room = files[1].need_bytes + files[2].need_bytes
    served = {file.name: file.refusal for file in fitted(files, room)}
    assert list(served) == ["large", "small", "middle"]
    assert (served["small"], served["middle"]) == ("", "")
    assert "GiB" in served["large"]


def test_of_two_files_with_one_name_one_is_served():
    twins = [_file("same"), ModelFile(name="same", path=Path("/m/b.gguf"), size_bytes=1, modified_at="")]
    assert sorted(bool(file.refusal) for file in fitted(twins, 2**40)) == [False, True]


def test_a_short_model_is_not_given_more_context_than_it_has():
    file = _file("minilm", head=Head(architecture="bert", context_max=512, modality="embed"))
    assert file.context_per_slot == 512
    assert "--embedding" in embedded._command(file)


async def test_a_file_that_is_no_model_is_reported_on_disk_and_without_operations(http, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "available", lambda: True)
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    (engine,) = await embedded.engines_of(tmp_path, http, slots=None)
    await engine.start()
    report = await engine.report()
    assert (report.kind, report.operations, report.healthy) == ("embedded", (), True)
    assert "GGUF" in report.error
    assert [(model.name, model.loaded) for model in report.models] == [("broken", False)]
    assert engine.url == ""
    await engine.aclose()


async def test_without_the_wheel_the_files_are_reported_with_the_way_to_get_it(http, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "available", lambda: False)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    (engine,) = await embedded.engines_of(tmp_path, http, slots=None)
    assert (await engine.report()).error


async def test_an_absent_folder_gives_no_engines(http, tmp_path):
    assert await embedded.engines_of(tmp_path / "absent", http, slots=None) == []


async def test_a_child_that_cannot_live_is_tried_again_and_then_held_in_quarantine(http, tmp_path, monkeypatch):
    monkeypatch.setattr(
        embedded, "_command", lambda file: [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    )
    engine = EmbeddedEngine("embedded", _file("m"), http)
    monkeypatch.setattr(engine._kept.restarts, "may_start", lambda now: True)
    await engine.start()
    async with asyncio.timeout(30):
        while "five times" not in (report := await engine.report()).error:
            await asyncio.sleep(0.01)
    assert not report.healthy
    assert "no such luck" in report.error
    assert report.quarantined
    assert [model.loaded for model in report.models] == [False]
    await engine.aclose()


async def _serving(engines: Engines) -> EngineReport:
    async with asyncio.timeout(60):
        while True:
            (report,) = await engines.observe()
            if report.operations and report.healthy and not report.stale:
                return report
            await asyncio.sleep(0.05)


@pytest.fixture
async def demo(http, tmp_path, demo_model, monkeypatch):
    """The engines of a node with the demo's model file; nothing else is on it."""
    monkeypatch.setattr("node.engines.discover.OLLAMA_PORT", 9)
    (tmp_path / "smollm2--135m.gguf").symlink_to(demo_model)
    engines = Engines(
        ollama_host="http://127.0.0.1:9",
        engine_flags=(),
        models_dir=tmp_path,
        slots=None,
        http=http,
        lan_addresses=list,
        well_known=(),
    )
    await engines.start()
    yield engines
    await engines.aclose()


@pytest.mark.real_engine
async def test_a_real_model_is_served_under_its_name_and_told_as_it_is(demo, http):
    report = await _serving(demo)
    (model,) = report.models
    assert (report.name, report.kind, report.reach, report.healthy) == ("embedded", "embedded", "loopback", True)
    assert report.version.startswith("llama.cpp b")
    assert report.operations == ("chat", "generate")
    assert set(report.dialects) >= {"openai", "anthropic"}
    assert (model.name, model.loaded, model.slots, model.modality) == ("smollm2:135m", True, 2, "llm")
    assert (model.context_length, model.context_max, model.parameters) == (4096, 8192, "135M")
    body = {"model": model.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    url = demo.target("embedded")
    assert url is not None
    assert httpx_port(url) == report.port
    reply = await http.post(url + "/v1/chat/completions", json=body, timeout=60)
    assert reply.json()["usage"]["completion_tokens"] == 4


@pytest.mark.real_engine
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
async def test_a_real_child_that_is_killed_is_down_with_its_inventory_and_comes_back(demo):
    await _serving(demo)
    engine = demo._entries["embedded"].engine
    first = engine.pid
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while (reports := await demo.observe())[0].healthy:
            await asyncio.sleep(0.02)
    assert [model.name for model in reports[0].models] == ["smollm2:135m"]
    assert (await _serving(demo)).healthy
    assert engine.pid != first


@pytest.mark.real_engine
async def test_a_real_child_that_cannot_load_its_model_ends_with_its_own_last_word(demo_model, tmp_path):
    cut = tmp_path / "cut.gguf"
    with demo_model.open("rb") as whole:
        cut.write_bytes(whole.read(1_000_000))
    command = embedded._command(ModelFile(name="cut", path=cut, size_bytes=1, modified_at=""))
    child = await Child.spawn(command, own_environment())
    async with asyncio.timeout(30):
        while child.running:
            await asyncio.sleep(0.02)
    assert child.ending == "exited with 1"
    assert "Fatal Python error" not in child.tail
    await child.stop()


@pytest.mark.real_engine
async def test_closing_the_engines_ends_the_child(demo):
    await _serving(demo)
    pid = demo._entries["embedded"].engine.pid
    await demo.aclose()
    assert not psutil.pid_exists(pid)
    assert demo.target("embedded") is None


def httpx_port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
