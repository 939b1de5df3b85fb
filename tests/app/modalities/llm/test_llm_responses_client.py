"""OpenAI's own client asks for responses: engines that speak the dialect and engines that do not, on sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeOllama
from fakes.scripted import SSE, Answer, failing, replying, streaming
from golden.kept import golden
from running import RunningRouter, running_router

MODEL = "smollm2:135m"
TOOLS: list[Any] = [
    {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"x": {}}}},
    {"type": "custom", "name": "g", "description": "Takes text."},
    {"type": "web_search"},
]
WAYS = ["native", "translated"]


@asynccontextmanager
async def serving(way: str) -> AsyncIterator[tuple[openai.AsyncOpenAI, FakeOllama, RunningRouter]]:
    async with FakeOllama() if way == "native" else FakeLlama() as fake, running_router() as router:
        native = way == "native"
        await router.join("a", fake, kind="ollama" if native else "openai", dialects=("responses",) if native else ())
        async with openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="sk-secret", max_retries=0) as client:
            yield client, fake, router


def path(way: str) -> str:
    return "/v1/responses" if way == "native" else "/v1/chat/completions"


@pytest.mark.parametrize("way", WAYS)
async def test_a_response_and_a_stream_come_back_whole_with_their_cost(way: str) -> None:
    async with serving(way) as (client, fake, router):
        told = await client.responses.create(model=MODEL, input="Hi", instructions="Be brief.", user="ada")
        assert (told.output_text, told.status) == ("Hello from fake", "completed")
        assert told.usage is not None
        assert (told.usage.input_tokens, told.usage.output_tokens, told.usage.total_tokens) == (11, 3, 14)
        async with client.responses.stream(model=MODEL, input="Hi") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        kinds = [event.type for event in events if event.type != "response.output_text.delta"]
        assert kinds == [
            "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
            "response.output_text.done", "response.content_part.done", "response.output_item.done",
            "response.completed",
        ]  # fmt: skip
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert (final.output_text, final.status) == ("Hello from fake", "completed")
        assert "user" not in fake.requests[0].json()
        assert "sk-secret" not in repr([request.headers for request in fake.requests])
        assert {request.path for request in fake.requests} == {path(way)}
        traces = await router.traces(2)
        assert {(trace["status"], trace["completion_tokens"]) for trace in traces} == {("completed", 3)}


async def test_thinking_text_and_calls_of_a_recorded_stream_become_items_in_order() -> None:
    async with serving("translated") as (client, fake, _):
        fake.script(path("translated"), Answer(pieces=(golden("answer-llama-chat.sse"),), content_type=SSE))
        async with client.responses.stream(model=MODEL, input="Hi", tools=TOOLS) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "custom_tool_call"]
        call = final.output[2]
        assert call.type == "function_call"
        assert (call.call_id, call.name, json.loads(call.arguments)) == ("t1", "f", {"x": 1.0})
        assert final.output_text == 'He said "usage": [] \n\n'
        assert len({item.id for item in final.output}) == 4
        done = [event.item for event in events if event.type == "response.output_item.done"]
        assert [item.id for item in done] == [item.id for item in final.output]
        sent = fake.requests[0].json()
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["f", "g"]


@pytest.mark.parametrize("way", WAYS)
async def test_the_results_of_tools_go_there_with_their_calls(way: str) -> None:
    async with serving(way) as (client, fake, _):
        turns: list[Any] = [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "t1", "name": "f", "arguments": '{"x":1}'},
            {"type": "custom_tool_call", "call_id": "t2", "name": "g", "input": 'a "b"'},
            {"type": "function_call_output", "call_id": "t1", "output": "one"},
            {"type": "custom_tool_call_output", "call_id": "t2", "output": [{"type": "input_text", "text": "two"}]},
        ]
        await client.responses.create(model=MODEL, input=turns, tools=TOOLS)
        sent = fake.requests[0].json()
        if way == "native":
            assert sent["input"] == turns
            return
        [user, assistant, one, two] = sent["messages"]
        assert user == {"role": "user", "content": "Hi"}
        calls = [(call["id"], json.loads(call["function"]["arguments"])) for call in assistant["tool_calls"]]
        assert calls == [("t1", {"x": 1}), ("t2", {"input": 'a "b"'})]
        assert one == {"role": "tool", "tool_call_id": "t1", "content": "one"}
        assert two == {"role": "tool", "tool_call_id": "t2", "content": "two"}


async def test_an_answer_cut_by_its_limit_is_incomplete() -> None:
    async with serving("translated") as (client, fake, _):
        cut = {"choices": [{"message": {"content": "Hel"}, "finish_reason": "length"}]}
        fake.script(path("translated"), replying(cut))
        told = await client.responses.create(model=MODEL, input="Hi", max_output_tokens=1)
        assert told.status == "incomplete"
        assert told.incomplete_details is not None
        assert told.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("way", WAYS)
async def test_errors_raise_the_class_that_the_sdk_has_for_them(way: str) -> None:
    async with serving(way) as (client, fake, _):
        with pytest.raises(openai.NotFoundError) as absent:
            await client.responses.create(model="gpt-5", input="Hi")
        assert absent.value.code == "model_not_found"
        for kept in ({"previous_response_id": "resp_1"}, {"background": True}, {"conversation": "conv_1"}):
            told: Any = kept
            with pytest.raises(openai.BadRequestError, match="Herd keeps none"):
                await client.responses.create(model=MODEL, input="Hi", **told)
        picture: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": "http://10.0.0.1/x"}]}]
        with pytest.raises(openai.BadRequestError, match="nothing is fetched"):
            await client.responses.create(model=MODEL, input=picture)
        assert not fake.requests
        fake.script(path(way), failing(500), times=None)
        with pytest.raises(openai.InternalServerError):
            await client.responses.create(model=MODEL, input="Hi")


@pytest.mark.parametrize("way", WAYS)
async def test_a_stream_that_breaks_raises_and_ends_in_a_failed_response_numbered_on(way: str) -> None:
    async with serving(way) as (client, fake, router):
        stream = await client.responses.create(model=MODEL, input="Hi", stream=True)
        kinds = [event.type async for event in stream]
        begun = await whole(fake, router)
        cut = begun[: begun.rindex(b"\n\n", 0, -400) - 40]
        for end in ("close", "done"):
            fake.script(path(way), streaming(cut, content_type=SSE, end=end), times=2)
            stream = await client.responses.create(model=MODEL, input="Hi", stream=True)
            seen = []
            with pytest.raises(openai.APIError, match="complete"):
                seen.extend([event.type async for event in stream])
            assert "response.completed" not in seen
            raw = await router.http.post("/v1/responses", json={"model": MODEL, "input": "Hi", "stream": True})
            told = [json.loads(line[6:]) for line in raw.text.splitlines() if line.startswith("data: ")]
            assert [event["type"] for event in told[-2:]] == ["error", "response.failed"]
            assert [event["sequence_number"] for event in told] == list(range(len(told)))
            assert told[-1]["response"]["status"] == "failed"
            assert told[-1]["response"]["id"] == told[0]["response"]["id"]
        assert kinds[-1] == "response.completed"


async def whole(fake: FakeOllama, router: RunningRouter) -> bytes:
    """The bytes of the fake's own stream, as it answered the last request."""
    asked = fake.requests[-1]
    pieces: Any = fake.respond(asked).pieces
    return b"".join([piece async for piece in pieces if isinstance(piece, bytes)])
