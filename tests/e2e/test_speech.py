"""A real Whisper model behind a node's door: its words, what it refuses, and its end when nobody listens any more."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from programs import speech_model

from node.door import Door
from node.engines import whisper
from node.engines.discover import Engines
from node.engines.whisper import WhisperEngine

pytestmark = pytest.mark.real_engine

RECORDING = Path(__file__).with_name("quarterly-report.wav")
"""Spoken by espeak-ng, which is free of anybody's voice."""
SENTENCE = "Please send the quarterly report to the whole team before Friday afternoon."
MODEL = "faster-whisper-tiny.en"
PATH = f"/engines/stt-{MODEL}/v1/audio/transcriptions"


@dataclass
class Node:
    http: httpx.AsyncClient
    engines: Engines

    @property
    def pid(self) -> int | None:
        engine = self.engines.target(f"stt-{MODEL}")
        assert isinstance(engine, WhisperEngine)
        return engine.pid

    async def ask(self, audio: bytes, **fields: str) -> httpx.Response:
        fields = {"model": MODEL, "response_format": "verbose_json", **fields}
        return await self.http.post(PATH, files={"file": ("recording.wav", audio)}, data=fields)


@asynccontextmanager
async def a_node(models: Path) -> AsyncIterator[Node]:
    """The engines and the door of a node; the router is the test."""
    (models / MODEL).symlink_to(speech_model())
    secret = {"X-Herd-Door": "s3cret"}
    async with httpx.AsyncClient(trust_env=False) as asking, asyncio.TaskGroup() as tasks:
        engines = Engines(
            ollama_host="http://127.0.0.1:9", engine_flags=(), models_dir=models, slots=None, http=asking,
            lan_addresses=list, well_known=(), finders=(whisper.find,),
        )  # fmt: skip
        door = Door(node_id="n", secret="s3cret", target=engines.target, host="127.0.0.1", port=0)
        running = tasks.create_task(door.run())
        url = f"http://127.0.0.1:{await door.started()}"
        async with httpx.AsyncClient(base_url=url, headers=secret, trust_env=False, timeout=60) as http:
            try:
                yield Node(http, engines)
            finally:
                running.cancel()
                await engines.aclose()


async def serving(node: Node) -> None:
    async with asyncio.timeout(60):
        while not any(report.operations for report in await node.engines.observe()):
            await asyncio.sleep(0.05)


def repeated(times: int) -> bytes:
    """The recording again and again, as one file."""
    into = io.BytesIO()
    with wave.open(str(RECORDING)) as one, wave.open(into, "wb") as many:
        many.setparams(one.getparams())
        many.writeframes(one.readframes(one.getnframes()) * times)
    return into.getvalue()


async def test_a_sentence_is_transcribed_word_by_word_and_what_is_no_audio_harms_nobody(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await serving(node)
        pid = node.pid
        whole = RECORDING.read_bytes()
        answer = await node.ask(whole)
        said = answer.json()
        assert (answer.status_code, said["text"], said["language"]) == (200, SENTENCE, "en")
        assert said["duration"] == pytest.approx(4.6, abs=0.1)
        [segment] = said["segments"]
        assert 0 <= segment["start"] < segment["end"] <= said["duration"]
        for broken in (b"", b"Dear all, please find attached the quarterly report.\n" * 20, whole[:40_000], whole[:30]):
            refused = await node.ask(broken)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_audio")
        assert (await node.ask(whole, language="de")).status_code == 400, "this model knows English only"
        timed = (await node.ask(whole, language="en-GB", **{"timestamp_granularities[]": "word"})).json()
        assert (timed["text"], [word["word"] for word in timed["words"]]) == (SENTENCE, SENTENCE.split())
        assert timed["words"] == sorted(timed["words"], key=lambda word: word["start"])
        assert node.pid == pid
        [report] = [report for report in await node.engines.observe() if report.kind == "faster-whisper"]
        assert (report.healthy, report.models[0].loaded) == (True, True)
        assert report.version.startswith("faster-whisper 1.")


async def test_when_the_router_leaves_the_process_at_work_is_dead_within_a_second(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        await serving(node)
        # It is left while its first window is worked on.
        asking = asyncio.ensure_future(node.ask(repeated(12)))
        async with asyncio.timeout(60):
            while all(report.progress is None for report in await node.engines.observe()):
                await asyncio.sleep(0.05)
        assert node.pid is not None
        child = psutil.Process(node.pid)
        asking.cancel()
        async with asyncio.timeout(1):
            while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)
        assert (await node.ask(RECORDING.read_bytes())).json()["text"] == SENTENCE
