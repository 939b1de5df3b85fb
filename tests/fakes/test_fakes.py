"""The fakes keep their promises; otherwise every other test would be built on sand."""

import asyncio
import json

import httpx
import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import failing, hang, reset, streaming


@pytest.fixture
async def http():
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        yield client


async def test_a_default_chat_streams_its_words_and_ends_with_all_counters(http):
    async with FakeOllama() as fake:
        body = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "hi"}]}
        reply = await http.post(fake.url + "/api/chat", json=body)
        lines = [json.loads(line) for line in reply.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello from fake"
    assert lines[-1]["done"] is True
    assert {"total_duration", "load_duration", "prompt_eval_count", "eval_count", "eval_duration"} <= set(lines[-1])
    assert fake.requests[0].json() == body
    assert fake.models["smollm2:135m"].loaded


async def test_an_openai_stream_ends_with_usage_and_done(http):
    async with FakeOllama() as fake:
        body = {"model": "smollm2:135m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
        reply = await http.post(fake.url + "/v1/chat/completions", json=body)
    events = reply.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2][6:])["usage"]["completion_tokens"] == 3


async def test_the_pieces_arrive_as_they_were_cut(http):
    async with FakeOllama() as fake:
        gate = asyncio.Event()
        fake.script("/api/chat", streaming(b'{"mess', gate, b'age":1}\n'))
        async with http.stream("POST", fake.url + "/api/chat", json={"model": "x"}) as reply:
            pieces = []
            async for piece in reply.aiter_raw():
                pieces.append(piece)
                gate.set()
    assert pieces == [b'{"mess', b'age":1}\n']


async def test_a_client_that_leaves_is_noticed_and_its_request_no_longer_runs(http):
    async with FakeOllama() as fake:
        fake.hold_last = asyncio.Event()
        async with http.stream(
            "POST", fake.url + "/api/chat", json={"model": "smollm2:135m", "messages": [1]}
        ) as reply:
            async for _ in reply.aiter_raw():
                break
            assert fake.running == 1
        await fake.closed.wait()
        await fake.finished.wait()
        assert fake.running == 0
        assert fake.closed[0].request.path == "/api/chat"


async def test_each_fault_is_what_it_says(http):
    async with FakeOllama() as fake:
        fake.script("/api/tags", reset(), failing(503, b"busy"), hang())
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await http.get(fake.url + "/api/tags")
        assert (await http.get(fake.url + "/api/tags")).status_code == 503
        with pytest.raises(httpx.ReadTimeout):
            await http.get(fake.url + "/api/tags", timeout=0.1)
        assert (await http.get(fake.url + "/api/tags")).status_code == 200
        fake.script("/api/ps", streaming(b"{", end="close"))
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(fake.url + "/api/ps")
        await fake.refuse()
        with pytest.raises(httpx.ConnectError):
            await http.get(fake.url + "/")
        await fake.accept()
        assert (await http.get(fake.url + "/")).text == "Ollama is running"


async def test_a_full_fake_lets_the_next_request_wait_inside(http):
    async with FakeOllama(parallel=1) as fake:
        fake.hold = asyncio.Event()
        body = {"model": "smollm2:135m", "messages": [1], "stream": False}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(http.post(fake.url + "/api/chat", json=body)) for _ in range(2)]
            await fake.requests.wait(2)
            assert not any(task.done() for task in tasks)
            fake.hold.set()
        assert [task.result().status_code for task in tasks] == [200, 200]
        assert fake.peak == 2


async def test_a_client_that_leaves_a_full_fake_gives_its_room_back(http):
    async with FakeOllama(parallel=1) as fake:
        fake.hold = asyncio.Event()
        body = {"model": "smollm2:135m", "messages": [1], "stream": False}
        with pytest.raises(httpx.ReadTimeout):
            await http.post(fake.url + "/api/chat", json=body, timeout=0.1)
        await fake.finished.wait()
        fake.hold = None
        assert (await http.post(fake.url + "/api/chat", json=body)).status_code == 200
