"""Recordings that are broken, too large, slow, cut off or too long in work: told, ended, and nothing left of them."""

import asyncio
import gzip
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.fake_speech import SAID, WAV, FakeSpeech, Sent
from fakes.scripted import Answer, failing, hang, reset
from running import running_router
from speech_fleet import END, FILE, FORM, MODEL, OPENAI, OURS, PART, SOUND, fleet, join, said, speech

BAD: dict[str, tuple[str, bytes, int]] = {
    "JSON": ("application/json", b'{"model": "m", "file": "aGk="}', 400),
    "no type": ("", SOUND + END, 400),
    "no boundary": ("multipart/form-data", SOUND + END, 400),
    "another boundary": ("multipart/form-data; boundary=abc", SOUND + END, 400),
    "no form": (FORM, b"hello", 400),
    "empty": (FORM, b"", 400),
    "cut off": (FORM, SOUND[:-100], 400),
    "no file": (FORM, PART % (b"model", b"m") + END, 400),
    "empty file": (FORM, PART % (b"file", b"") + END, 400),
    "two files": (FORM, SOUND + SOUND + END, 400),
    "too many parts": (FORM, SOUND + PART % (b"x", b"y") * 100 + END, 400),
    "a huge field": (FORM, SOUND + PART % (b"prompt", b"x" * 100_000) + END, 400),
    "a field of rubbish": (FORM, SOUND + PART % (b"prompt", b"\xff\xfe") + END, 400),
    "temperature is hot": (FORM, SOUND + PART % (b"temperature", b"1.5") + END, 400),
    "temperature is no number": (FORM, SOUND + PART % (b"temperature", b"nan") + END, 400),
    "language is a novel": (FORM, SOUND + PART % (b"language", b"x" * 100) + END, 400),
    "streamed": (FORM, SOUND + PART % (b"stream", b"true") + END, 400),
    "unknown granularity": (FORM, SOUND + PART % (b"timestamp_granularities[]", b"syllable") + END, 400),
    "a name with a line break": (FORM, SOUND + PART % (b"model", b"a\r\nb") + END, 400),
    "an endless name": (FORM, SOUND + PART % (b"model", b"x" * 500) + END, 400),
}


@pytest.mark.parametrize("path", [OURS, OPENAI])
async def test_a_form_that_cannot_be_served_is_the_clients_error_in_its_dialect(path: str) -> None:
    async with fleet() as (fake, router):
        for name, (kind, body, status) in BAD.items():
            if b'name="model"' not in body:
                body = PART % (b"model", MODEL.encode()) + body if kind == FORM and body else body
            answer = await router.http.post(path, content=body, headers={"Content-Type": kind})
            assert answer.status_code == status, (name, answer.status_code, answer.text)
            assert said(path, answer), name
        answer = await router.http.post(path, content=gzip.compress(SOUND), headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 415
        answer = await router.http.post(OPENAI, files=FILE, data={"model": MODEL, "response_format": "docx"})
        assert (answer.status_code, "verbose_json" in said(OPENAI, answer)) == (400, True)
        assert not fake.requests
        await router.until(in_flight=0, pending=0)


@pytest.mark.parametrize("path", [OURS, OPENAI])
async def test_a_recording_over_the_limit_is_413_and_one_while_it_is_switched_off_503(path: str) -> None:
    async with fleet(stt={"transcription_max_bytes": len(WAV) - 1}) as (_, router):
        answer = await router.http.post(path, files=FILE, data={"model": MODEL})
        assert (answer.status_code, "larger than" in said(path, answer)) == (413, True)
        host, port = router.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:  # as curl asks before it sends something large
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Type: {FORM}\r\n"
                           f"Content-Length: 9000000000\r\n\r\n".encode())  # fmt: skip
            client.settimeout(10)
            assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 413")
    async with fleet(stt={"transcription": False}) as (fake, router):
        answer = await router.http.post(path, files=FILE, data={"model": MODEL})
        assert (answer.status_code, "switched off" in said(path, answer)) == (503, True)
        assert not fake.requests


async def test_an_upload_that_comes_in_drops_is_served_like_any_other() -> None:
    async with fleet() as (fake, router):

        async def drops() -> AsyncIterator[bytes]:
            body = SOUND + PART % (b"model", MODEL.encode()) + END
            for at in range(0, len(body), 97):
                yield body[at : at + 97]
                await asyncio.sleep(0.001)

        answer = await router.http.post(OPENAI, content=drops(), headers={"Content-Type": FORM})
        assert (answer.status_code, answer.json()) == (200, {"text": SAID})
        assert Sent.of(fake.requests[0]).sound == WAV


BIG = os.urandom(3 * 1024 * 1024)


async def test_when_a_node_dies_in_the_middle_of_an_upload_the_next_one_gets_all_of_it() -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(500_000)
        writer.transport.abort()

    dying = await asyncio.start_server(die, "127.0.0.1", 0)
    async with FakeSpeech() as fake, running_router() as router:
        await join(router, "a", _At(dying.sockets[0].getsockname()[1]))
        await join(router, "b", fake, speech(loaded=False))
        sound = b"RIFF" + BIG
        answer = await router.http.post(OPENAI, files={"file": ("a.wav", sound)}, data={"model": MODEL})
        assert (answer.status_code, answer.headers["x-fleet-node"], answer.headers["x-fleet-retries"]) == (
            200,
            "b",
            "1",
        )
        assert Sent.of(fake.requests[0]).sound == sound
        assert [trace["status"] for trace in await router.traces()] == ["completed"]
    dying.close()


class _At:
    def __init__(self, port: int) -> None:
        self.port = port


def unnamed_files() -> list[str]:
    """Files that this process has open and that have no name any more."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            continue
    return [path for path in found if path.startswith("/") and path.endswith(" (deleted)")]


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")


@needs_proc
async def test_an_upload_that_is_cut_takes_no_slot_and_leaves_no_file() -> None:
    before = unnamed_files()
    async with fleet() as (fake, router):
        host, port = router.url.removeprefix("http://").split(":")
        head = f"POST {OPENAI} HTTP/1.1\r\nHost: h\r\nContent-Type: {FORM}\r\nContent-Length: 9000000\r\n\r\n"
        client = socket.create_connection((host, int(port)))
        await asyncio.to_thread(client.sendall, head.encode() + SOUND[:-2] + BIG)
        async with asyncio.timeout(10):
            while unnamed_files() == before:
                await asyncio.sleep(0.01)
            assert (await router.queue())["in_flight"] == 0
            client.close()
            while unnamed_files() != before:
                await asyncio.sleep(0.01)
        assert not fake.requests
        assert (await router.queue())["completed"] == 0


@needs_proc
@pytest.mark.parametrize(
    "answer", [hang(), failing(400, b'{"error":{"message":"no"}}'), reset(), Answer(pieces=(b"x",))]
)
async def test_nothing_is_left_of_a_recording_however_it_ends(answer: Answer) -> None:
    before = unnamed_files()
    async with fleet(max_retries=0) as (fake, router):
        fake.script(OPENAI, answer, times=None)
        posting = asyncio.ensure_future(
            router.http.post(OPENAI, files={"file": ("a.wav", BIG)}, data={"model": MODEL}, timeout=60)
        )
        await fake.requests.wait(1)
        if answer.before is not None:
            assert unnamed_files() != before
            posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        async with asyncio.timeout(10):
            while unnamed_files() != before:
                await asyncio.sleep(0.01)
        await router.until(in_flight=0)


async def test_a_client_that_leaves_takes_its_engine_with_it_at_once() -> None:
    async with fleet() as (fake, router):
        fake.hold = asyncio.Event()
        posting = asyncio.ensure_future(router.http.post(OURS, files=FILE))
        await fake.requests.wait(1)
        posting.cancel()
        await fake.closed.wait(1, timeout=1.0)
        await router.until(in_flight=0)
        assert [trace["status"] for trace in await router.traces()] == ["client_disconnected"]


async def test_an_engine_that_works_too_long_is_ended_and_told_of() -> None:
    async with fleet(stt={"transcription_timeout": 0.3}, max_retries=0) as (fake, router):
        fake.hold = asyncio.Event()
        answer = await router.http.post(OPENAI, files=FILE, data={"model": MODEL})
        assert (answer.status_code, "sent nothing" in said(OPENAI, answer)) == (502, True)
        await fake.closed.wait(1)
