"""A router with a speech engine, and forms for it. Knows no test.

async with fleet() as (fake, router):
    answer = await router.http.post(OURS, files=FILE)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fakes.fake_speech import SAID, WAV, FakeSpeech
from running import Engine, RunningRouter, running_router

from node.wire import ModelReport

OURS, OPENAI = "/api/transcribe", "/v1/audio/transcriptions"
MODEL = "whisper-tiny.en"
CHUNKS = {
    "text": SAID,
    "language": "en",
    "chunks": [{"text": SAID, "start": 0.0, "end": 4.5, "chunk_index": 0, "language": "en"}],
}
FILE = {"file": ("meeting.wav", WAV, "audio/wav")}


def speech(name: str = MODEL, **more: Any) -> ModelReport:
    return ModelReport(name=name, **{"modality": "stt", "loaded": True, "size_bytes": 80 * 1024**2, **more})


async def join(
    router: RunningRouter, node_id: str, fake: Engine, *models: ModelReport, kind: str = "faster-whisper", **more: Any
) -> None:
    await router.join(node_id, fake, *(models or (speech(),)), kind=kind, operations=("transcribe",), **more)


@asynccontextmanager
async def fleet(**settings: Any) -> AsyncIterator[tuple[FakeSpeech, RunningRouter]]:
    async with FakeSpeech() as fake, running_router(**settings) as router:
        await join(router, "a", fake)
        yield fake, router


def said(path: str, answer: Any) -> str:
    """The words of an error, wherever the caller's dialect has them."""
    error = answer.json()["error"]
    words = error["message"] if path.startswith("/v1") else error
    assert isinstance(words, str)
    return words


FORM = "multipart/form-data; boundary=xyz"
PART = b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
SOUND = PART % (b"file", WAV)
END = b"--xyz--\r\n"
