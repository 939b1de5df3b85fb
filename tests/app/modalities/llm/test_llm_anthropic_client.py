"""Anthropic's own client in front of the router: engines that speak its dialect and engines that do not, on sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeOllama
from fakes.scripted import SSE, Answer, Request, failing, replying, streaming
from golden.kept import golden
from running import RunningRouter, running_router

MODEL = "smollm2:135m"
HI: list[Any] = [{"role": "user", "content": "Hi"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS: list[Any] = [
    {"name": "weather", "description": "Today's.", "input_schema": {"type": "object", "properties": {"city": {}}}}
]
WAYS = ["native", "translated"]
CALLED = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOL_CALL = {
    "choices": [{"message": {"content": "Let me look.", "tool_calls": [CALLED]}, "finish_reason": "tool_calls"}]
}
TOOL_USE = {
    "id": "m", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "tool_use", "stop_sequence": None,
    "content": [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2},
}  # fmt: skip


@asynccontextmanager
async def serving(way: str) -> AsyncIterator[tuple[anthropic.AsyncAnthropic, FakeOllama, RunningRouter]]:
    """A client, the engine behind the router, the router; the engine speaks the client's dialect if it is native."""
    async with FakeOllama() if way == "native" else FakeLlama() as fake, running_router() as router:
        native = way == "native"
        await router.join("a", fake, kind="ollama" if native else "openai", dialects=("anthropic",) if native else ())
        async with anthropic.AsyncAnthropic(base_url=router.url, api_key="sk-secret", max_retries=0) as client:
            yield client, fake, router


def path(way: str) -> str:
    return "/v1/messages" if way == "native" else "/v1/chat/completions"


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_and_a_stream_come_back_whole_with_their_cost(way: str) -> None:
    async with serving(way) as (client, fake, router):
        told = await client.messages.create(model=MODEL, max_tokens=50, messages=HI)
        assert told.content[0].type == "text"
        assert told.content[0].text == "Hello from fake"
        assert (told.stop_reason, told.usage.input_tokens, told.usage.output_tokens) == ("end_turn", 11, 3)
        async with client.messages.stream(model=MODEL, max_tokens=50, messages=HI, system="Be brief.") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_message()
        assert [kind for kind in kinds if kind not in ("text", "content_block_delta")] == [
            "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop",
        ]  # fmt: skip
        assert final.content[0].type == "text"
        assert final.content[0].text == "Hello from fake"
        assert (final.stop_reason, final.model, final.usage.output_tokens) == ("end_turn", MODEL, 3)
        assert final.usage.input_tokens == 11
        assert "sk-secret" not in repr([request.headers for request in fake.requests])
        assert {request.path for request in fake.requests} == {path(way)}
        traces = await router.traces(2)
        assert {(trace["status"], trace["completion_tokens"]) for trace in traces} == {("completed", 3)}


@pytest.mark.parametrize("way", WAYS)
async def test_tools_go_there_and_their_calls_come_back(way: str) -> None:
    async with serving(way) as (client, fake, _):
        fake.script(path(way), replying(TOOL_USE if way == "native" else TOOL_CALL))
        choice: Any = {"type": "tool", "name": "weather"}
        told = await client.messages.create(
            model=MODEL, max_tokens=50, messages=HI, tools=TOOLS, tool_choice=choice, metadata={"user_id": "ada"}
        )
        assert told.stop_reason == "tool_use"
        use = told.content[1]
        assert use.type == "tool_use"
        assert (use.id, use.name, use.input) == ("t1", "weather", {"city": "Oslo"})
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "Snow."}
        turns = [*HI, {"role": "assistant", "content": told.content}, {"role": "user", "content": [result]}]
        await client.messages.create(model=MODEL, max_tokens=50, messages=turns, tools=TOOLS)
        sent = fake.requests[-1].json()
        assert "metadata" not in fake.requests[0].json()
        if way == "translated":
            assert sent["messages"][1]["tool_calls"] == [CALLED]
            assert sent["messages"][2] == {"role": "tool", "tool_call_id": "t1", "content": "Snow."}
            assert fake.requests[0].json()["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        else:
            assert sent["messages"][2]["content"] == [result]


@pytest.mark.parametrize("way", WAYS)
async def test_a_picture_goes_there_and_an_address_does_not(way: str) -> None:
    async with serving(way) as (client, fake, _):
        data: Any = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        address: Any = {"type": "url", "url": "http://10.0.0.1/x.png"}
        for source in (data, address):
            content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
            turns: Any = [{"role": "user", "content": content}]
            if source is data:
                await client.messages.create(model=MODEL, max_tokens=5, messages=turns)
            else:
                with pytest.raises(anthropic.BadRequestError, match="nothing is fetched"):
                    await client.messages.create(model=MODEL, max_tokens=5, messages=turns)
        [asked] = fake.requests
        assert PIXEL in asked.body.decode()


async def test_what_happens_on_a_recorded_stream_is_told_in_order_to_the_sdk() -> None:
    async with serving("translated") as (client, fake, _):
        fake.script(path("translated"), Answer(pieces=(golden("answer-llama-chat.sse"),), content_type=SSE))
        thinking: Any = {"type": "enabled", "budget_tokens": 1024}
        async with client.messages.stream(
            model=MODEL, max_tokens=2048, messages=HI, tools=TOOLS, thinking=thinking
        ) as stream:
            final = await stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert final.stop_reason == "tool_use"
        calls = [(block.id, block.name, block.input) for block in final.content if block.type == "tool_use"]
        assert calls == [("t1", "f", {"x": 1.0}), ("t2", "g", {})]
        assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (4, 30, 5)


@pytest.mark.parametrize("way", WAYS)
async def test_errors_raise_the_class_that_the_sdk_has_for_them(way: str) -> None:
    async with serving(way) as (client, fake, router):
        with pytest.raises(anthropic.NotFoundError, match="claude-opus-4-1") as absent:
            await client.messages.create(model="claude-opus-4-1", max_tokens=5, messages=HI)
        assert absent.value.body == {
            "type": "error", "error": {"type": "not_found_error", "message": absent.value.body["error"]["message"]},
        }  # fmt: skip
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            await client.post("/v1/messages", body={"model": MODEL, "max_tokens": 5}, cast_to=object)
        fake.script(path(way), failing(400, b'{"error":{"message":"too long","type":"x"}}'))
        with pytest.raises(anthropic.BadRequestError, match="too long") as refused:
            await client.messages.create(model=MODEL, max_tokens=5, messages=HI)
        assert refused.value.body["error"]["type"] == "invalid_request_error"
        fake.script(path(way), failing(500), times=None)
        with pytest.raises(anthropic.InternalServerError) as failed:
            await client.messages.create(model=MODEL, max_tokens=5, messages=HI)
        assert failed.value.body["type"] == "error"
        gone = await router.http.get("/v1/messages/batches")
        assert (gone.status_code, gone.json()["type"]) == (404, "error")
        foreign = await router.http.post("/v1/messages", json={}, headers={"Origin": "https://elsewhere.example"})
        assert (foreign.status_code, foreign.json()["error"]["type"]) == (403, "permission_error")
        keyed = await router.http.post("/key/wrong/v1/messages", json={})
        assert (keyed.status_code, keyed.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_that_breaks_raises_and_never_ends_as_if_it_were_whole(way: str) -> None:
    async with serving(way) as (client, fake, router):
        whole = await fake_stream(fake, way)
        for cut in (whole[: len(whole) // 2], whole[: whole.rindex(b"\n\n", 0, -2) - 40]):
            fake.script(path(way), streaming(cut, content_type=SSE, end="close"))
            stream = await client.messages.create(model=MODEL, max_tokens=50, messages=HI, stream=True)
            kinds: list[str] = []
            with pytest.raises(anthropic.APIStatusError, match="complete"):
                kinds.extend([event.type async for event in stream])
            assert "message_stop" not in kinds
        assert {trace["status"] for trace in await router.traces(2)} == {"incomplete"}


async def fake_stream(fake: FakeOllama, way: str) -> bytes:
    """The bytes of the fake's own stream."""
    body = json.dumps({"model": MODEL, "messages": HI, "stream": True}).encode()
    answer = fake.respond(Request("POST", path(way), "", (), body, 0.0, 0))
    pieces: Any = answer.pieces
    return b"".join([piece async for piece in pieces if isinstance(piece, bytes)])
