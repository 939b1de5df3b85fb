"""mlx-qwen3-asr is found as a program, run as a server that ends with the node, and asked by its own API.

The program is a stand-in with its exact interface.
"""

import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fakes.fake_mlx_qwen3_asr
import httpx
import msgspec
import psutil
import pytest
from speech_forms import form, question

from node.engines import executables, qwen_asr
from node.engines.base import Answer
from node.engines.found import Tools
from node.engines.qwen_asr import QwenAsrEngine
from node.wire import EngineReport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is found by its first line")


class Installed:
    """The program in a folder on PATH, and what it noted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program = root / "bin" / "mlx-qwen3-asr"
        self.program.parent.mkdir(parents=True)
        words = shlex.join([sys.executable, str(Path(fakes.fake_mlx_qwen3_asr.__file__ or ""))])
        self.program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        self.program.chmod(0o755)

    def noted(self, what: str) -> list[dict[str, Any]]:
        file = self.root / what
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    installed = Installed(tmp_path)
    monkeypatch.setenv("PATH", str(installed.program.parent))
    monkeypatch.setattr(executables, "usual_folders", list)
    monkeypatch.setattr(qwen_asr, "POLL_S", 0.05)
    for name in ("starts", "jobs", "broken"):
        monkeypatch.setenv(f"ASR_{name.upper()}", str(tmp_path / name))
    return installed


@pytest.fixture
async def engine(installed: Installed, http: httpx.AsyncClient) -> AsyncIterator[QwenAsrEngine]:
    [found] = look(http)
    engine = cast(QwenAsrEngine, found.make())
    await engine.start()
    await until(engine, lambda report: report.healthy)
    yield engine
    await engine.aclose()


def look(http: httpx.AsyncClient) -> tuple[Any, ...]:
    return qwen_asr.find(cast(Tools, SimpleNamespace(http=http)))


async def until(engine: QwenAsrEngine, true: Callable[[EngineReport], object]) -> EngineReport:
    async with asyncio.timeout(30):
        while not true(report := await engine.report()):
            await asyncio.sleep(0.02)
    return report


async def say(engine: QwenAsrEngine, what: str, **fields: str) -> Answer:
    return await engine.answer(question(form(f"RIFF\n{what}".encode(), "talk.m4a", **fields), piece=1000))


def told(answer: Answer) -> Any:
    return msgspec.json.decode(answer.body)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_the_server_is_started_as_its_maker_says_and_only_this_machine_reaches_it(
    engine: QwenAsrEngine, installed: Installed
) -> None:
    [start] = installed.noted("starts")
    port = start["words"][2]
    assert start["words"] == ["serve", "--port", port, "--host", "127.0.0.1", "--rate-limit", "1000000"]
    assert [len(key) for key in start["keys"]] == [32], "a key of this run, and not on the command line"
    report = await engine.report()
    assert (report.kind, report.reach, report.operations) == ("mlx-qwen3-asr", "door", ("transcribe",))
    assert (report.dialects, report.error, report.quarantined) == (("openai",), "", False)
    [model] = report.models
    assert (model.name, model.modality, model.loaded, model.slots) == ("qwen3-asr", "stt", True, 1)


async def test_its_chunks_are_the_segments_of_openais_answer(engine: QwenAsrEngine, installed: Installed) -> None:
    answer = await say(engine, "Please send it.\nThank you.", language="en", prompt="Herd", model="qwen3-asr")
    assert (answer.status, told(answer)) == (200, {
        "task": "transcribe", "language": "English", "duration": 10.0, "text": "Please send it. Thank you.",
        "segments": [
            {"id": 0, "start": 0.0, "end": 5.0, "text": "Please send it."},
            {"id": 1, "start": 5.0, "end": 10.0, "text": "Thank you."},
        ],
    })  # fmt: skip
    assert installed.noted("jobs") == [{"file": "talk.m4a", "language": "en", "context": "Herd"}]


async def test_what_is_no_audio_is_refused_and_harms_nobody(engine: QwenAsrEngine, installed: Installed) -> None:
    before = engine.pid
    for answer in (
        await engine.answer(question(form(b"Dear all, please send it."))),
        await say(engine, "fail Failed to load audio: moov atom not found"),
        await say(engine, "fail RuntimeError: transcription failed"),
    ):
        assert (answer.status, told(answer)["error"]["code"]) == (400, "invalid_audio")
    assert len(installed.noted("jobs")) == 2, "a text is not even sent"
    assert told(await say(engine, "Hello."))["text"] == "Hello."
    assert engine.pid == before


async def test_a_failure_of_its_own_is_the_engines(engine: QwenAsrEngine) -> None:
    answer = await say(engine, "fail ffmpeg not found on PATH. Install and retry: brew install ffmpeg")
    assert (answer.status, told(answer)["error"]["code"]) == (500, "engine_failed")
    assert "brew install ffmpeg" in told(answer)["error"]["message"]
    assert told(await say(engine, "Hello."))["text"] == "Hello."


async def test_who_leaves_in_the_middle_takes_the_server_and_what_it_kept_with_him(
    engine: QwenAsrEngine, installed: Installed
) -> None:
    asking = asyncio.ensure_future(say(engine, "hang"))
    async with asyncio.timeout(20):
        while not installed.noted("jobs"):
            await asyncio.sleep(0.02)
    [start] = installed.noted("starts")
    assert list(Path(start["folder"]).glob("mlx_asr_*")), "the upload lies in the run's folder"
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not alive(start["pid"])
    assert not Path(start["folder"]).exists()
    report = await engine.report()
    assert (report.healthy, report.error) == (True, ""), "that was no fault of the engine's"
    assert told(await say(engine, "Hello."))["text"] == "Hello."
    assert len(installed.noted("starts")) == 2


async def test_a_crash_is_told_and_the_server_comes_back(engine: QwenAsrEngine, installed: Installed) -> None:
    answer = await say(engine, "crash")
    assert (answer.status, told(answer)["error"]["code"]) == (500, "engine_failed")
    assert "was ended by signal 6" in told(answer)["error"]["message"]
    await until(engine, lambda report: report.healthy)
    assert len(installed.noted("starts")) == 2


async def test_a_server_that_cannot_start_is_held_in_quarantine_with_its_last_word(
    installed: Installed, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installed.root / "broken").write_text("")
    engine = QwenAsrEngine(installed.program, http, version="")
    monkeypatch.setattr(engine._kept.restarts, "may_start", lambda now: not engine._kept.restarts.quarantined)
    report = await until(engine, lambda report: report.quarantined)
    assert (report.healthy, report.operations) == (False, ())
    assert "exited with 1" in report.error
    assert 'Install with: pip install "mlx-qwen3-asr[serve]"' in report.error
    answer = await say(engine, "Hello.")
    assert (answer.status, told(answer)["error"]["code"]) == (503, "engine_unavailable")
    await engine.aclose()


async def test_closing_the_engine_ends_the_server(engine: QwenAsrEngine, installed: Installed) -> None:
    await engine.aclose()
    [start] = installed.noted("starts")
    assert not alive(start["pid"])


async def test_it_is_there_when_its_program_is(installed: Installed, http: httpx.AsyncClient) -> None:
    [found] = look(http)
    assert found.name == "mlx-qwen3-asr"
    installed.program.unlink()
    assert look(http) == ()
