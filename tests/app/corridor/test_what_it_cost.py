"""The headers that say what an answer cost, in each dialect, native and translated; and that streams have none."""

import json
from typing import Any

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import Answer
from running import loaded, running_router

THINKER = "deepseek-r1:8b"
CHAT: dict[str, Any] = {"model": THINKER, "messages": [{"role": "user", "content": "hi"}], "stream": False}
OLLAMA = {
    "model": THINKER, "message": {"role": "assistant", "content": "x" * 80, "thinking": "y" * 400}, "done": True,
    "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 130,
}  # fmt: skip
OPENAI = {
    "id": "c", "object": "chat.completion", "created": 1, "model": THINKER,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 80, "reasoning_content": "y" * 400},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 130, "total_tokens": 139},
}  # fmt: skip
TOLD = {"x-thinking-tokens": "100", "x-output-tokens": "20", "x-done-reason": "stop", "x-budget-used": "130/1024"}


def whole(answer: dict[str, Any]) -> Answer:
    return Answer(pieces=(json.dumps(answer).encode(),))


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_whole_answer_of_an_ollama_says_what_it_cost(path: str) -> None:
    async with FakeOllama(FakeModel(THINKER)) as fake, running_router() as router:
        await router.join("a", fake, loaded(THINKER))
        fake.script(path, whole(OLLAMA if path == "/api/chat" else OPENAI))
        answer = await router.http.post(path, json={**CHAT, "max_tokens": 200, "options": {"num_predict": 200}})
        assert {name: answer.headers.get(name) for name in TOLD} == TOLD
        [trace] = await router.traces()
        assert "budget.raised 200 -> 1024" in trace["notes"]


async def test_a_translated_answer_says_it_too() -> None:
    async with FakeLlama(FakeModel(THINKER, loaded=True)) as fake, running_router() as router:
        await router.join("a", fake, loaded(THINKER), kind="openai")
        fake.script("/v1/chat/completions", whole(OPENAI))
        answer = await router.http.post("/api/chat", json={**CHAT, "options": {"num_predict": 200}})
        assert {name: answer.headers.get(name) for name in TOLD} == TOLD


async def test_without_thoughts_and_without_a_limit_only_what_is_known_is_said() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        answer = await router.http.post("/api/chat", json={**CHAT, "model": "smollm2:135m"})
        assert "x-thinking-tokens" not in answer.headers
        assert "x-budget-used" not in answer.headers
        assert answer.headers["x-output-tokens"] == "3"
        assert answer.headers["x-done-reason"] == "stop"


async def test_a_stream_has_none_of_these_headers() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        answer = await router.http.post("/api/chat", json={**CHAT, "model": "smollm2:135m", "stream": True})
        assert not set(TOLD) & set(answer.headers)
