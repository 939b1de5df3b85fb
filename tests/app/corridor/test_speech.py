"""Recordings on their way to an engine and transcripts on their way back, over real sockets."""

import asyncio
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes.fake_ollama import FakeOllama
from fakes.fake_speech import SAID, UNREADABLE, WAV, FakeSpeech, Sent
from fakes.scripted import failing, replying
from running import loaded, running_router
from speech_fleet import CHUNKS, FILE, MODEL, OPENAI, OURS, fleet, join, said, speech


async def curl(*words: str) -> dict[str, Any]:
    program = await asyncio.create_subprocess_exec("curl", "-s", *words, stdout=asyncio.subprocess.PIPE)
    out, _ = await program.communicate()
    return dict(json.loads(out))


@pytest.mark.skipif(shutil.which("curl") is None, reason="asks with curl")
async def test_curl_as_the_readme_has_it_gets_the_text_and_each_stretch_of_speech(tmp_path: Path) -> None:
    (tmp_path / "meeting.wav").write_bytes(WAV)
    async with FakeSpeech() as fake, running_router() as router:
        await join(router, "a", fake, speech("qwen3-asr"))
        url = router.url + OURS
        answer = await curl(url, "-F", f"file=@{tmp_path}/meeting.wav", "-F", "model=qwen3-asr")
        assert answer == CHUNKS
        [request] = fake.requests
        sent = Sent.of(request)
        assert (sent.sound, sent.name) == (WAV, "meeting.wav")
        assert sent.fields == {"model": "qwen3-asr", "response_format": "verbose_json"}
        assert await curl("-H", "X-Herd-Tags: my-app", url, "-F", f"file=@{tmp_path}/meeting.wav") == CHUNKS
        trace = (await router.traces(2))[0]
        assert (trace["tags"], trace["model"], trace["modality"]) == (["my-app"], "qwen3-asr", "stt")


@pytest.mark.parametrize(
    ("shape", "kind", "text"),
    [
        (None, "application/json", json.dumps({"text": SAID}, separators=(",", ":"))),
        ("json", "application/json", json.dumps({"text": SAID}, separators=(",", ":"))),
        ("text", "text/plain; charset=utf-8", SAID + "\n"),
        ("srt", "text/plain; charset=utf-8", f"1\n00:00:00,000 --> 00:00:04,500\n{SAID}\n\n"),
        ("vtt", "text/vtt; charset=utf-8", f"WEBVTT\n\n00:00:00.000 --> 00:00:04.500\n{SAID}\n\n"),
    ],
)
async def test_openais_door_answers_in_each_format(shape: str | None, kind: str, text: str) -> None:
    async with fleet() as (_, router):
        data = {"model": MODEL} | ({} if shape is None else {"response_format": shape})
        answer = await router.http.post(OPENAI, files=FILE, data=data)
        assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, kind, text)


async def test_the_long_format_is_the_engines_own_and_its_fields_reach_the_engine() -> None:
    async with fleet() as (fake, router):
        data = {
            "model": MODEL, "response_format": "verbose_json", "language": "en", "prompt": "Grüße, 漢",
            "temperature": "0.2", "timestamp_granularities[]": ["word", "segment"], "chunking_strategy": "auto",
        }  # fmt: skip
        answer = await router.http.post(OPENAI, files=FILE, data=data)
        assert answer.json() == fake._verbose()
        assert Sent.of(fake.requests[0]).fields == {
            "model": MODEL, "language": "en", "prompt": "Grüße, 漢", "temperature": "0.2",
            "response_format": "verbose_json", "timestamp_granularities[]": "word",
        }  # fmt: skip
        [trace] = await router.traces()
        assert trace["notes"] == ["fields.dropped chunking_strategy", "audio.heard 4.5 s"]


async def test_headers_and_trace_say_who_listened_for_how_long_and_whose_request_it_was() -> None:
    async with fleet() as (_, router):
        data = {"model": MODEL, "user": "ann", "metadata": '{"tags": ["minutes"]}', "tags": "a, b"}
        answer = await router.http.post(OURS, files=FILE, data=data, headers={"X-Herd-Tags": "my-app"})
        heads = answer.headers
        assert (heads["x-fleet-node"], heads["x-fleet-model"], heads["x-fleet-served-model"]) == ("a", MODEL, MODEL)
        assert int(heads["x-transcription-time"]) >= 0
        [trace] = await router.traces()
        assert trace["tags"] == ["minutes", "my-app", "a", "b", "user:ann"]
        assert (trace["status"], trace["policy"], trace["endpoint"]) == ("completed", "stt", OURS)
        assert trace["notes"] == ["audio.heard 4.5 s"]


@pytest.mark.parametrize("path", [OURS, OPENAI])
async def test_the_model_that_was_asked_for_is_used_and_an_unknown_one_is_404(path: str) -> None:
    async with FakeSpeech() as fake, running_router() as router:
        await join(router, "a", fake, speech("small"), speech("large"))
        assert (await router.http.post(path, files=FILE, data={"model": "large"})).status_code == 200
        assert Sent.of(fake.requests[0]).fields["model"] == "large"
        answer = await router.http.post(path, files=FILE, data={"model": "llama3.2"})
        assert answer.status_code == 404
        assert "llama3.2 not found on any node" in said(path, answer)
        assert "ollama pull" not in answer.text
        assert len(fake.requests) == 1


async def test_without_a_model_our_own_door_takes_the_only_one_and_openais_takes_none() -> None:
    async with FakeSpeech() as fake, FakeOllama() as chat, running_router() as router:
        await router.join("c", chat)
        answer = await router.http.post(OURS, files=FILE)
        assert (answer.status_code, said(OURS, answer)) == (404, "no node has a speech model")
        await join(router, "a", fake, speech("one"))
        await join(router, "b", fake, speech("one"))
        assert (await router.http.post(OURS, files=FILE)).status_code == 200
        assert (await router.http.post(OPENAI, files=FILE)).status_code == 400
        await join(router, "b", fake, speech("one"), speech("two"))
        answer = await router.http.post(OURS, files=FILE)
        assert (answer.status_code, said(OURS, answer)) == (
            400,
            "no model was named, and there are several (one of one, two)",
        )


@pytest.mark.parametrize("path", [OURS, OPENAI])
async def test_a_model_that_cannot_hear_is_refused_at_once_and_one_that_can_is_not(path: str) -> None:
    gemma = loaded("gemma4:e2b", capabilities=("completion", "audio"))
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("llama3.2:3b", capabilities=("completion",)), gemma,
                          operations=("chat", "generate", "transcribe"))  # fmt: skip
        fake.script(OPENAI, lambda request: replying({"text": SAID}), times=None)
        answer = await router.http.post(path, files=FILE, data={"model": "llama3.2:3b"})
        assert (answer.status_code, "llama3.2:3b: is a model for llm" in said(path, answer)) == (400, True)
        answer = await router.http.post(path, files=FILE, data={"model": "gemma4:e2b"})
        assert answer.json()["text"] == SAID
        [request] = fake.asked(OPENAI)
        assert Sent.of(request).fields == {"model": "gemma4:e2b", "response_format": "json"}


async def test_an_engine_that_tells_no_times_makes_no_subtitles_but_another_node_may() -> None:
    async with FakeOllama() as deaf, FakeSpeech() as fake, running_router() as router:
        hears = loaded("hears:1", capabilities=("completion", "audio"))
        await router.join("a", deaf, hears, operations=("chat", "transcribe"))
        deaf.script(OPENAI, lambda request: replying({"text": SAID}), times=None)
        data = {"model": "hears:1", "response_format": "srt"}
        answer = await router.http.post(OPENAI, files=FILE, data=data)
        assert (answer.status_code, "no srt of it" in said(OPENAI, answer)) == (501, True)
        assert not deaf.asked(OPENAI)
        await join(router, "b", fake, speech("hears:1", loaded=False))
        answer = await router.http.post(OPENAI, files=FILE, data=data)
        assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "b")


async def test_an_engine_that_knows_no_long_format_is_asked_for_the_short_one() -> None:
    async with fleet() as (fake, router):
        fake.refuses = ("verbose_json",)
        answer = await router.http.post(OPENAI, files=FILE, data={"model": MODEL})
        assert (answer.status_code, answer.json()) == (200, {"text": SAID})
        asked = [Sent.of(request) for request in fake.requests]
        assert [sent.fields["response_format"] for sent in asked] == ["verbose_json", "json"]
        assert {sent.sound for sent in asked} == {WAV}
        assert "x-fleet-retries" not in answer.headers
        answer = await router.http.post(OPENAI, files=FILE, data={"model": MODEL, "response_format": "vtt"})
        assert (answer.status_code, "no vtt of it" in said(OPENAI, answer)) == (501, True)
        await router.until(in_flight=0)


async def test_a_whisper_server_is_asked_in_its_own_words_and_its_refusal_is_one() -> None:
    async with FakeSpeech() as fake, running_router() as router:
        await join(router, "a", fake, kind="whisper.cpp", dialects=("whisper.cpp",))
        answer = await router.http.post(OURS, files=FILE)
        assert (answer.status_code, answer.json()) == (200, CHUNKS)
        [request] = fake.asked("/inference")
        told = {"response_format": "verbose_json", "language": "auto", "temperature": "0", "prompt": ""}
        assert Sent.of(request).fields == told
        for path in (OURS, OPENAI):
            answer = await router.http.post(path, files={"file": b"no sound"}, data={"model": MODEL})
            assert (answer.status_code, said(path, answer)) == (400, "failed to read audio data")
        await router.until(in_flight=0, retried=0)


@pytest.mark.parametrize("path", [OURS, OPENAI])
async def test_what_the_engine_cannot_decode_is_400_in_its_words_and_the_callers_dialect(path: str) -> None:
    async with fleet() as (fake, router):
        for sound in (b"just a text file", b"\x00" * 10_000):
            answer = await router.http.post(path, files={"file": ("a.wav", sound)}, data={"model": MODEL})
            assert (answer.status_code, said(path, answer)) == (400, UNREADABLE)
        detail = b'{"detail":[{"loc":["body","file"],"msg":"no such audio"}]}'
        fake.script(OPENAI, failing(422, detail))
        answer = await router.http.post(path, files=FILE, data={"model": MODEL})
        assert (answer.status_code, said(path, answer)) == (422, "no such audio")
        await router.until(in_flight=0, retried=0)


async def test_openais_own_client_gets_what_it_asks_for_and_errors_as_it_knows_them() -> None:
    async with fleet() as (fake, router):
        fake.segments = [{"id": 0, "start": 0.0, "end": 4.5, "text": SAID, "words": []}]
        async with openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="sk-secret", max_retries=0) as client:
            ask = partial(client.audio.transcriptions.create, model=MODEL, file=("a.wav", WAV))
            assert (await ask()).text == SAID
            assert await ask(response_format="text") == SAID + "\n"
            assert str(await ask(response_format="srt")).startswith("1\n00:00:00,000 --> ")
            told = await ask(
                response_format="verbose_json", language="en", prompt="Friday", temperature=0.5,
                timestamp_granularities=["segment"], extra_body={"user": "ann"},
            )  # fmt: skip
            assert (told.duration, told.segments and told.segments[0].end) == (4.5, 4.5)
            with pytest.raises(openai.BadRequestError, match="not streamed"):
                await ask(stream=True)
            with pytest.raises(openai.BadRequestError, match=UNREADABLE):
                await ask(file=("a.txt", b"just text"))
            with pytest.raises(openai.NotFoundError, match="nobody-has-this"):
                await ask(model="nobody-has-this")
        fields = Sent.of(fake.requests[3]).fields
        assert (fields["temperature"], fields["language"], fields["prompt"]) == ("0.5", "en", "Friday")
        assert "sk-secret" not in repr([request.headers for request in fake.requests])


async def test_recordings_wait_for_a_slot_and_go_to_the_idle_node() -> None:
    async with FakeSpeech() as one, FakeSpeech() as two, running_router() as router:
        await join(router, "a", one)
        await join(router, "b", two)
        one.hold = two.hold = asyncio.Event()
        posts = [asyncio.ensure_future(router.http.post(OURS, files=FILE)) for _ in range(4)]
        await router.until(in_flight=2, pending=2)
        one.hold.set()
        assert {answer.status_code for answer in await asyncio.gather(*posts)} == {200}
        assert (one.peak, two.peak) == (1, 1)
        assert (len(one.requests), len(two.requests)) == (2, 2)
