"""faster-whisper's engine: a child for each model folder, which ends when nobody wants its transcript any more.

The child is a stand-in that speaks as the real one does; the real one is asked in tests/e2e.
"""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fakes.fake_whisper_child
import httpx
import msgspec
import psutil
import pytest
from speech_forms import form, question

from node.engines import discover, whisper
from node.engines.base import Answer
from node.engines.discover import Engines
from node.engines.found import Tools
from node.engines.whisper import WhisperEngine
from node.wire import EngineReport

CHILD = str(Path(fakes.fake_whisper_child.__file__ or ""))


def put_model(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    content = {"config.json": '{"lang_ids": [1]}', "model.bin": "x" * 100, "tokenizer.json": "{}", **files}
    for name, said in content.items():
        (folder / name).write_text(said)
    return folder


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child is the stand-in, and what it imports counts as installed."""

    def command(folder: Path, *, load: bool) -> list[str]:
        words = whisper_command(folder, load=load)
        return [sys.executable, CHILD, *words[words.index("--model") :]]

    whisper_command = whisper._command
    monkeypatch.setattr(whisper, "_command", command)
    monkeypatch.setattr(whisper, "installed", lambda: True)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked.txt"))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[WhisperEngine]:
    put_model(tmp_path / "models" / "Faster-Whisper-Tiny.en")
    [folder] = whisper.folders_of(tmp_path / "models")
    engine = WhisperEngine("stt-tiny", folder)
    await engine.start()
    await until(engine, lambda report: report.healthy)
    yield engine
    await engine.aclose()


async def until(engine: WhisperEngine, true: Callable[[EngineReport], object]) -> EngineReport:
    async with asyncio.timeout(20):
        while not true(report := await engine.report()):
            await asyncio.sleep(0.01)
    return report


def alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def dead(pid: int | None, *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while alive(pid):
            await asyncio.sleep(0.01)


async def say(engine: WhisperEngine, audio: str, **fields: str) -> Answer:
    return await engine.answer(question(form(audio.encode(), **fields)))


def told(answer: Answer) -> Any:
    return msgspec.json.decode(answer.body)


async def test_a_model_is_told_as_it_is_before_and_after_its_weights_are_loaded(engine: WhisperEngine) -> None:
    report = await engine.report()
    assert (report.kind, report.version, report.reach) == ("faster-whisper", "faster-whisper 1.2.1 (cpu)", "door")
    assert (report.operations, report.dialects, report.error) == (("transcribe",), ("openai",), "")
    [model] = report.models
    assert (model.name, model.modality, model.slots) == ("faster-whisper-tiny.en", "stt", 1)
    assert (model.loaded, model.size_bytes) == (False, 119)
    await say(engine, "Hello.")
    [model] = (await engine.report()).models
    assert (model.loaded, model.quantization) == (True, "int8")


async def test_segments_are_put_together_to_what_openai_answers(engine: WhisperEngine, tmp_path: Path) -> None:
    fields = {"language": "en", "prompt": "Herd", "temperature": "0.5", "model": "faster-whisper-tiny.en"}
    answer = await say(engine, "Please send the report.\nThank you.", **fields)
    said = told(answer)
    assert (answer.status, said["text"], said["language"]) == (200, "Please send the report. Thank you.", "en")
    assert (said["task"], said["duration"]) == ("transcribe", 2.0)
    assert [(s["id"], s["start"], s["end"], s["text"]) for s in said["segments"]] == [
        (0, 0.0, 1.0, " Please send the report."), (1, 1.0, 2.0, " Thank you."),
    ]  # fmt: skip
    asked = msgspec.json.decode((tmp_path / "asked.txt").read_bytes())
    assert (asked["language"], asked["prompt"], asked["temperature"]) == ("en", "Herd", 0.5)
    assert not Path(asked["audio"]).exists()


async def test_requests_wait_for_each_other_and_each_gets_its_own_words(engine: WhisperEngine) -> None:
    answers = await asyncio.gather(*(say(engine, f"Number {n}.") for n in range(5)))
    assert [told(answer)["text"] for answer in answers] == [f"Number {n}." for n in range(5)]


async def test_audio_that_is_none_is_the_requests_fault_and_harms_no_child(engine: WhisperEngine) -> None:
    before = engine.pid
    answer = await say(engine, "refuse This is no audio.")
    assert (answer.status, told(answer)["error"]["message"]) == (400, "This is no audio.")
    assert told(answer)["error"]["type"] == "invalid_request_error"
    assert (await engine.report()).healthy
    assert told(await say(engine, "Hello."))["text"] == "Hello."
    assert engine.pid == before


async def test_a_failure_is_the_engines_and_another_child_takes_over(engine: WhisperEngine) -> None:
    answer = await say(engine, "fail out of memory")
    assert (answer.status, told(answer)["error"]["code"]) == (500, "engine_failed")
    assert told(await say(engine, "Hello."))["text"] == "Hello."


async def test_who_leaves_in_the_middle_takes_the_child_with_him_within_a_second(engine: WhisperEngine) -> None:
    asking = asyncio.ensure_future(say(engine, "One.\nTwo.\nhang\nFour."))
    report = await until(engine, lambda report: report.progress == 0.5)
    assert report.healthy
    pid = engine.pid
    assert alive(pid)
    asking.cancel()
    await dead(pid, within_s=1.0)
    with pytest.raises(asyncio.CancelledError):
        await asking
    report = await engine.report()
    assert (report.healthy, report.progress, report.error) == (True, None, ""), "that was no fault of the engine's"
    assert not report.models[0].loaded
    assert told(await say(engine, "Hello."))["text"] == "Hello."
    assert engine.pid != pid


async def test_who_leaves_while_he_waits_for_another_disturbs_nobody(engine: WhisperEngine) -> None:
    first = asyncio.ensure_future(say(engine, "One.\nhang"))
    await until(engine, lambda report: report.progress)
    pid = engine.pid
    second = asyncio.ensure_future(say(engine, "Two."))
    await asyncio.sleep(0.1)
    second.cancel()
    await asyncio.wait([second])
    assert alive(pid)
    assert not first.done()
    first.cancel()
    await asyncio.wait([first])


async def test_a_child_that_says_nothing_any_more_is_given_up(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "SILENCE_S", 0.5)
    pid = engine.pid
    answer = await say(engine, "hang")
    assert (answer.status, told(answer)["error"]["code"]) == (504, "engine_timeout")
    assert not alive(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_crash_is_told_with_the_childs_last_word_and_the_next_child_must_load_first(
    engine: WhisperEngine,
) -> None:
    answer = await say(engine, "crash")
    error = told(answer)["error"]
    assert (answer.status, error["code"]) == (500, "engine_failed")
    assert error["message"].endswith("was ended by signal 15. Its last word: it was the audio")
    report = await until(engine, lambda report: report.healthy)
    assert report.models[0].loaded


async def test_a_model_that_cannot_be_loaded_is_tried_five_times_and_then_held_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_model(tmp_path / "models" / "m", broken="")
    [folder] = whisper.folders_of(tmp_path / "models")
    engine = WhisperEngine("stt-m", folder)
    monkeypatch.setattr(engine._kept.restarts, "may_start", lambda now: not engine._kept.restarts.quarantined)
    report = await until(engine, lambda report: report.quarantined)
    assert (report.healthy, report.operations) == (False, ())
    assert "no such luck" in report.error
    answer = await say(engine, "Hello.")
    assert (answer.status, told(answer)["error"]["code"]) == (503, "engine_unavailable")
    await engine.aclose()


async def test_closing_the_engine_ends_its_child(engine: WhisperEngine) -> None:
    pid = engine.pid
    await engine.aclose()
    assert not alive(pid)
    assert (await say(engine, "Hello.")).status == 503


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
async def test_a_child_at_work_does_not_outlive_a_node_that_was_killed(tmp_path: Path) -> None:
    audio = tmp_path / "audio.txt"
    audio.write_text("hang")
    code = (
        "import asyncio, json, os, sys\n"
        "from node.engines.talk import Talker\n"
        "async def main():\n"
        f"    child = await Talker.spawn([sys.executable, {CHILD!r}, '--model', '.', '--threads', '1'], os.environ)\n"
        f"    child.say(json.dumps({{'audio': {str(audio)!r}}}).encode())\n"
        "    while b'language' not in await child.hear(): pass\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(whisper.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    await dead(pid, within_s=10)


def test_a_speech_model_is_known_by_its_files_and_called_after_its_folder(tmp_path: Path) -> None:
    put_model(tmp_path / "Faster-Whisper-Tiny.en")
    put_model(tmp_path / "stt" / "large v3")
    put_model(tmp_path / "a" / "b" / "too-deep")
    put_model(tmp_path / "opus-mt", **{"config.json": '{"layer_norm_epsilon": 1}'})
    put_model(tmp_path / "no-json", **{"config.json": "{"})
    (tmp_path / "pytorch").mkdir()
    (tmp_path / "pytorch" / "config.json").write_text('{"lang_ids": []}')
    (tmp_path / "llama.gguf").write_text("GGUF")
    assert [folder.name for folder in whisper.folders_of(tmp_path)] == ["faster-whisper-tiny.en", "large v3"]
    found = whisper.find(cast(Tools, SimpleNamespace(models_dir=tmp_path)))
    assert [one.name for one in found] == ["stt-faster-whisper-tiny.en", "stt-large-v3"]
    assert whisper.folders_of(tmp_path / "absent") == []


async def test_a_model_that_is_not_served_is_reported_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_model(tmp_path / "m")
    monkeypatch.setattr(whisper, "installed", lambda: False)
    [folder] = whisper.folders_of(tmp_path)
    engine = WhisperEngine("stt-m", folder)
    await engine.start()
    report = await engine.report()
    assert (report.healthy, report.operations) == (True, ())
    assert "pip install 'herd-router[stt]'" in report.error
    assert (await say(engine, "Hello.")).status == 503
    (tmp_path / "m" / "tokenizer.json").unlink()
    [folder] = whisper.folders_of(tmp_path)
    assert folder.refusal == whisper.NO_TOKENIZER


async def test_models_and_the_library_are_noticed_while_the_node_runs(
    tmp_path: Path, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "LOOK_AGAIN_S", 0.0)
    there = False
    monkeypatch.setattr(whisper, "installed", lambda: there)
    engines = Engines(
        ollama_host="http://127.0.0.1:9", engine_flags=(), models_dir=tmp_path, slots=None, http=http,
        lan_addresses=list, well_known=(), finders=(whisper.find,),
    )  # fmt: skip

    async def seen(true: Callable[[list[EngineReport]], bool]) -> list[EngineReport]:
        async with asyncio.timeout(20):
            while not true(found := [r for r in await engines.observe() if r.kind == "faster-whisper"]):
                await asyncio.sleep(0.01)
        return found

    await seen(lambda reports: reports == [])
    model = put_model(tmp_path / "m")
    await seen(lambda reports: [r.error for r in reports] == [whisper.NOT_INSTALLED])
    there = True
    await seen(lambda reports: bool(reports) and reports[0].operations == ("transcribe",))
    engine = engines.target("stt-m")
    assert isinstance(engine, WhisperEngine)
    pid = engine.pid
    (model / "model.bin").unlink()
    await seen(lambda reports: reports == [])
    assert not alive(pid)
    await engines.aclose()


def test_the_library_is_looked_for_anew_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    if importlib.util.find_spec("faster_whisper") is not None:
        assert whisper.installed()
        return
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not whisper.installed()
    (tmp_path / "faster_whisper.py").write_text("raise RuntimeError('the node must not import it')")
    assert whisper.installed()
