"""Native first: what arrives at the engine and what comes back, byte by byte, against a scripted Ollama."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import NDJSON, SSE, Answer, streaming
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import loaded, running_router

CHAT: dict[str, Any] = {
    "model": "smollm2:135m",
    "messages": [
        {"role": "user", "content": "Draw é 漢 \u2028", "images": ["aGVsbG8="], "nobody_knows": {"a": [1, 2.50, 1e3]}},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "tool", "content": "42", "tool_name": "f"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "think": "high",
    "format": {"type": "object", "properties": {"z": {}, "a": {}}},
    "options": {"temperature": 0.70, "seed": 18446744073709551615, "stop": ["\n"], "top_p": 1.0},
    "logprobs": True,
    "a_field_of_tomorrow": {"nested": [None, True, "x"]},
    "stream": True,
}
OURS = {"metadata": {"tags": ["a"]}, "fallback_models": ["other:1"], "user": "me"}
LINES = [
    b'{"model":"smollm2:135m","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}\n',
    b'{"model":"smollm2:135m","message":{"content":"\xe6\xbc\xa2 "},"logprobs":[{"a":1.50}],"done":false}\n',
    (
        b'{"model":"smollm2:135m", "message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",'
        b'"arguments":{"x":1}}}]},"done":true,"done_reason":"stop","field_of_tomorrow":{},"total_duration":5000000,'
        b'"load_duration":1,"prompt_eval_count":7,"prompt_eval_duration":2000000,"eval_count":3,"eval_duration":3}\n'
    ),
]
EVENTS = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}\n\n',
    b': a comment\n\ndata: {"id":"c1","choices":[{"index":0,"delta":{"content":"a","x_new":1}}],"logprobs":null}\n\n',
    (
        b'data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f",'
        b'"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}\n\n'
    ),
]
USAGE = (
    b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10},'
    b'"timings":{"cache_n":4,"prompt_n":3,"prompt_ms":20.5,"predicted_n":3,"predicted_ms":30.0}}\n\n'
)
DONE = b"data: [DONE]\n\n"


async def test_an_ollama_body_arrives_as_sent_but_for_the_keys_that_herd_must_change() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        sent = json.dumps({**CHAT, **OURS}, ensure_ascii=False)
        await router.http.post("/api/chat", content=sent.encode())
        arrived = fake.asked("/api/chat")[0].json()
        assert arrived.pop("keep_alive") == -1
        assert arrived["options"].pop("num_ctx") == 4096
        assert arrived == CHAT
        assert list(arrived) == list(CHAT)
        assert b'"top_p":1.0' in fake.asked("/api/chat")[0].body
        assert b"0.7" in fake.asked("/api/chat")[0].body


async def test_a_keep_alive_of_the_clients_own_arrives_and_nothing_to_change_means_the_very_same_bytes() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        sent = b'{ "keep_alive" : "5m",\n "model": "smollm2:135m", "messages": [ ] , "options": {"num_ctx": 4096 } }'
        await router.http.post("/api/chat", content=sent)
        assert fake.asked("/api/chat")[0].body == sent


async def test_an_openai_body_arrives_as_sent_but_for_the_keys_that_herd_must_change() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        body = {**CHAT, "stream": False, "temperature": 0.7, "response_format": {"type": "json_object"}, "n_new": 1}
        await router.http.post("/v1/chat/completions", json={**body, **OURS})
        assert fake.asked("/v1/chat/completions")[0].json() == body


async def test_the_clients_credentials_and_headers_do_not_reach_the_engine() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        await router.http.post("/api/chat", json=CHAT, headers={"Authorization": "Bearer sk-secret", "Cookie": "c=1"})
        text = repr(fake.asked("/api/chat")[0].headers)
        assert "sk-secret" not in text
        assert "cookie" not in text


@pytest.mark.parametrize("cut", ["lines", "one piece", "bytes"])
async def test_an_ollama_stream_comes_back_byte_for_byte(cut: str) -> None:
    whole = b"".join(LINES)
    pieces = {"lines": LINES, "one piece": [whole], "bytes": [bytes([byte]) for byte in whole]}[cut]
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", streaming(*pieces))
        answer = await router.http.post("/api/chat", json=CHAT)
        assert answer.content == whole
        assert answer.headers["content-type"].startswith(NDJSON)
        [trace] = await router.traces()
        assert trace["status"] == "completed"
        assert (trace["prompt_tokens"], trace["completion_tokens"]) == (7, 3)
        assert trace["finish_reason"] == "stop"


async def test_an_openai_stream_comes_back_byte_for_byte_without_the_usage_nobody_asked_for() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/v1/chat/completions", streaming(*EVENTS, USAGE, DONE, content_type=SSE))
        answer = await router.http.post("/v1/chat/completions", json=CHAT)
        assert fake.asked("/v1/chat/completions")[0].json()["stream_options"] == {"include_usage": True}
        assert answer.content == b"".join(EVENTS) + DONE
        [trace] = await router.traces()
        assert (trace["prompt_tokens"], trace["completion_tokens"], trace["cached_tokens"]) == (7, 3, 4)


async def test_the_usage_that_a_client_asked_for_is_left_in_its_stream() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/v1/chat/completions", streaming(*EVENTS, USAGE, DONE, content_type=SSE))
        body = {**CHAT, "stream_options": {"include_usage": True}}
        answer = await router.http.post("/v1/chat/completions", json=body)
        assert answer.content == b"".join(EVENTS) + USAGE + DONE


async def test_an_answer_that_is_not_streamed_comes_back_byte_for_byte() -> None:
    whole = b'{"model":"smollm2:135m", "message":{"role":"assistant","content":"x"},"done":true, "new":1.50}'
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", Answer(pieces=(whole,)))
        answer = await router.http.post("/api/chat", json={**CHAT, "stream": False})
        assert answer.content == whole
        assert int(answer.headers["content-length"]) == len(whole)


async def test_however_the_streams_are_cut_the_client_sees_the_same() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded(slots=4))
        whole = b"".join(EVENTS) + USAGE + DONE
        for step in (1, 2, 3, 7, 16, 61):
            pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
            fake.script("/v1/chat/completions", streaming(*pieces, content_type=SSE))
            answer = await router.http.post("/v1/chat/completions", json=CHAT)
            assert answer.content == b"".join(EVENTS) + DONE, step


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, sum(map(len, LINES)) - 1), max_size=12, unique=True))
def test_arbitrary_pieces_of_an_ollama_stream_come_back_whole(cuts: list[int]) -> None:
    whole = b"".join(LINES)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]

    async def check() -> None:
        async with FakeOllama() as fake, running_router() as router:
            await router.join("a", fake)
            fake.script("/api/chat", streaming(*pieces))
            assert (await router.http.post("/api/chat", json=CHAT)).content == whole

    asyncio.run(check())


async def test_tags_are_recorded_and_never_forwarded() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        body = {**CHAT, "metadata": {"tags": ["app", "x"]}, "user": "ada"}
        await router.http.post("/api/chat", json=body, headers={"X-Herd-Tags": "x, team ,,"})
        arrived = fake.asked("/api/chat")[0].json()
        assert "metadata" not in arrived
        assert "user" not in arrived
        [trace] = await router.traces()
        assert trace["tags"] == ["app", "x", "team", "user:ada"]
        assert trace["client_ip"] == "127.0.0.1"
        assert trace["original_format"] == "ollama"


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"])
async def test_what_is_for_the_router_is_recorded_and_reaches_no_engine_of_any_dialect(path: str, kind: str) -> None:
    async with FakeOllama() if kind == "ollama" else FakeLlama() as fake, running_router() as router:
        await router.join("a", fake, kind=kind)
        body = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "x"}], "prompt": "x", "stream": False}
        ours = {**OURS, "fallback": False}
        answer = await router.http.post(path, json={**body, **ours}, headers={"X-Herd-Tags": "team"})
        assert answer.status_code == 200
        assert not ours.keys() & fake.requests[-1].json().keys()
        [trace] = await router.traces()
        assert trace["tags"] == ["a", "team", "user:me"]
        assert not any("dropped" in note for note in trace["notes"] or [])


async def test_a_fallback_that_the_client_named_serves_and_is_told() -> None:
    async with FakeOllama(FakeModel("other:1")) as fake, running_router() as router:
        await router.join("a", fake, loaded("other:1"))
        answer = await router.http.post("/api/chat", json={**CHAT, "model": "big:70b", "fallback_models": ["other:1"]})
        assert answer.headers["x-fleet-fallback"] == "other:1"
        assert fake.asked("/api/chat")[0].json()["model"] == "other:1"


async def test_a_model_named_without_its_tag_is_no_fallback() -> None:
    async with FakeOllama(FakeModel("llama3:latest")) as fake, running_router() as router:
        await router.join("a", fake, loaded("llama3:latest"))
        answer = await router.http.post("/api/chat", json={**CHAT, "model": "llama3"})
        assert "x-fleet-fallback" not in answer.headers
        [trace] = await router.traces()
        assert trace["fallback_used"] is False
