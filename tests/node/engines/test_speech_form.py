"""A speech engine takes OpenAI's form as it comes, keeps the audio on disk, and says in OpenAI's words what is wrong.

What a file's first bytes tell is looked at here too.
"""

import asyncio
import struct
import tempfile
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_forms import form, question

from node.engines import speech
from node.engines.audio_file import complaint
from node.engines.base import Answer, Question
from node.engines.speech import Refusal, Speech, Transcript

SAID = Transcript(text="Hello.", language="en", duration=1.5, segments=({"id": 0, "text": " Hello."},))


class Engine:
    """Keeps what it was asked, and the audio's content while it was there."""

    def __init__(self) -> None:
        self.asked: list[Speech] = []
        self.heard: list[bytes] = []

    async def __call__(self, asked: Speech) -> Transcript:
        self.asked.append(asked)
        self.heard.append(asked.file.read_bytes())
        return SAID

    async def answer(self, asked: Question) -> Answer:
        return await speech.answered(asked, "tiny", self)


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the audio goes: nothing may be left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def error(answer: Answer) -> str:
    """The error's code; it has all that OpenAI's clients look at."""
    said = msgspec.json.decode(answer.body)["error"]
    assert said.keys() == {"message", "type", "code", "param"}
    return said["code"]


async def test_the_form_is_understood_and_the_audio_is_gone_with_the_answer(spool: Path) -> None:
    engine = Engine()
    fields = {"model": "Tiny:latest", "language": "de", "prompt": "Herd", "temperature": "0.2"}
    answer = await engine.answer(question(form(b"\r\n--sound\0" * 1000, "täst.mp3", **fields), piece=1000))
    assert msgspec.json.decode(answer.body) == {
        "task": "transcribe", "language": "en", "duration": 1.5, "text": "Hello.",
        "segments": [{"id": 0, "text": " Hello."}],
    }  # fmt: skip
    assert engine.heard == [b"\r\n--sound\0" * 1000]
    [asked] = engine.asked
    assert (asked.language, asked.prompt, asked.temperature, asked.file_name) == ("de", "Herd", 0.2, "täst.mp3")
    assert list(spool.iterdir()) == []


async def test_without_a_wish_for_its_form_the_answer_is_the_text() -> None:
    answer = await Engine().answer(question(form(response_format="")))
    assert (answer.status, answer.body) == (200, b'{"text":"Hello."}')


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (form(b""), 400, "invalid_audio"),
        (form(None), 400, "invalid_request"),
        (form(model="large-v3"), 404, "model_not_found"),
        (form(temperature="warm"), 400, "invalid_request"),
        (form(temperature="nan"), 400, "invalid_request"),
        (form(response_format="srt"), 400, "invalid_request"),
        (form(prompt="x" * (speech.FIELD_LIMIT + 1)), 400, "invalid_request"),
        (httpx.Request("POST", "http://engine" + speech.PATH, json={"file": "a"}), 400, "invalid_request"),
        (httpx.Request("POST", "http://engine" + speech.PATH, files=[("file", b"a"), ("file", b"b")]), 400,
         "invalid_request"),
        (httpx.Request("GET", "http://engine/v1/models"), 404, "not_found"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_in_openais_words(
    spool: Path, asked: httpx.Request, status: int, code: str
) -> None:
    engine = Engine()
    answer = await engine.answer(question(asked, piece=1000))
    assert (answer.status, error(answer)) == (status, code)
    assert engine.asked == []
    assert list(spool.iterdir()) == []


async def test_an_upload_beyond_the_limit_is_refused_before_its_end(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "FORM_LIMIT", 1000)
    read, whole = 0, form(b"x" * 10)

    async def endless():
        nonlocal read
        yield whole.read()[:-60]
        while True:
            read += 500
            yield b"x" * 500

    answer = await Engine().answer(question(whole, body=endless()))
    assert (answer.status, error(answer)) == (413, "too_large")
    assert read < 3000
    assert list(spool.iterdir()) == []


async def test_a_form_without_an_end_is_refused() -> None:
    answer = await Engine().answer(question(form(), cut=-10))
    assert (answer.status, error(answer)) == (400, "invalid_request")


async def test_a_router_that_leaves_in_the_middle_of_the_upload_leaves_no_file(spool: Path) -> None:
    async def broken():
        yield form(b"x" * 10_000).read()[:5000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Engine().answer(question(form(), body=broken()))
    assert list(spool.iterdir()) == []


async def test_a_router_that_leaves_in_the_middle_of_the_work_leaves_no_file(spool: Path) -> None:
    begun = asyncio.Event()

    async def work(_: Speech) -> Transcript:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    asking = asyncio.ensure_future(speech.answered(question(form()), "tiny", work))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert list(spool.iterdir()) == []


async def test_an_engines_refusal_keeps_its_status() -> None:
    async def work(_: Speech) -> Transcript:
        raise Refusal("It is broken.", status=500, code="engine_failed")

    answer = await speech.answered(question(form()), "tiny", work)
    assert answer.status == 500
    assert msgspec.json.decode(answer.body)["error"]["type"] == "server_error"


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60))
async def test_however_the_form_is_cut_into_pieces_the_audio_is_the_same(cuts: list[int]) -> None:
    body = form(b"a\r\n--b\r\r\n" * 9).read()

    async def pieces():
        at = 0
        for cut in [*cuts, len(body)]:
            yield body[at : at + cut]
            at += cut

    engine = Engine()
    asked = form(b"a\r\n--b\r\r\n" * 9)
    boundary = body[2 : body.index(b"\r\n")].decode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    assert (await engine.answer(question(asked, body=pieces(), headers=headers))).status == 200
    assert engine.heard == [b"a\r\n--b\r\r\n" * 9]


def wav(length: int, sound: bytes) -> bytes:
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    whole = (4 + len(kind) + 8 + length) % 2**32
    head = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + kind + struct.pack("<4sI", b"data", length)
    return head + sound


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (wav(1000, b"\0" * 400), "The file is cut short: 600 bytes of its sound are missing."),
        (wav(1000, b"\0" * 1000), ""),
        (wav(0xFFFFFFFF, b"\0" * 400), ""),
        (wav(0, b"\0" * 400), ""),
        (wav(0, b"")[:30], ""),
        (b"Dear all, please", ""),
    ],
)
def test_a_file_that_tells_that_it_is_no_use_is_complained_of(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert complaint(tmp_path / "a") == said


@pytest.mark.parametrize(
    ("head", "known"),
    [(b"Dear all", False), (b"<html>", False), (b"\xff\xfb\x90\x00", True), (b"\x00\x00\x00 ftypM4A ", True),
     (b"fLaC", True), (b"OggS", True), (b"ID3\x04", True), (b"\x1aE\xdf\xa3", True), (b"RIFF", True)],
)  # fmt: skip
def test_a_usual_audio_file_is_known_by_how_it_begins(tmp_path: Path, head: bytes, known: bool) -> None:
    (tmp_path / "a").write_bytes(head + b" and so on")
    assert bool(complaint(tmp_path / "a", known_only=True)) is not known
