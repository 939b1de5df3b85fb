"""What Anthropic's clients bring along: names of models that no fleet has, fingerprints, questions about tokens."""

import json
from typing import Any

import httpx
import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeOllama
from fakes.scripted import failing
from golden.kept import OPENAI_ONLY, call, job, route
from running import RunningRouter, running_router

from app.modalities.llm import aliases

MODEL = "smollm2:135m"
HI = [{"role": "user", "content": "Hi"}]
BILLING = "x-anthropic-billing-header: cc_version=2.1.197.1a2; cc_entrypoint=cli; cch=%s;"
NATIVE = route(dialects=("ollama", "openai", "anthropic"))


def asked(fingerprint: str, *, blocks: bool) -> bytes:
    text = BILLING % fingerprint
    system: Any = [{"type": "text", "text": text}, {"type": "text", "text": "You help.", "x": 1.50}] if blocks else text
    body = {"model": MODEL, "system": system, "messages": HI, "max_tokens": 5, "x_new": {"a": [1e3]}}
    return json.dumps(body, separators=(",", ":")).encode()


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("way", [NATIVE, OPENAI_ONLY])
def test_a_fingerprint_of_each_request_becomes_a_constant_and_nothing_else_changes(way: Any, blocks: bool) -> None:
    one, other = (call("/v1/messages", asked(mark, blocks=blocks), way) for mark in ("a1b2c", "0f9"))
    assert one.body == other.body
    assert "fingerprint.replaced" in one.notes
    assert b"cch=00000;" in one.body
    if way is NATIVE:
        assert one.body == asked("00000", blocks=blocks)
        assert call("/v1/messages", one.body, way).body is one.body


def test_a_prompt_without_a_fingerprint_and_what_was_said_of_one_stay_as_they_are() -> None:
    for body in (
        {"model": MODEL, "system": "catch=12;", "messages": HI},
        {"model": MODEL, "system": "cch=xyz;", "messages": HI},
        {"model": MODEL, "messages": [{"role": "user", "content": "What is cch=a1b2;?"}]},
    ):
        sent = call("/v1/messages", body, NATIVE)
        assert json.loads(sent.body) == body
        assert sent.notes == ()


ALIASES = {"haiku": "small:1b", "claude-opus-": "big:70b", "claude-x": "exact:1b", "default": "middle:8b"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("claude-x", "exact:1b"),
        ("claude-haiku-4-5", "small:1b"),
        ("claude-opus-4-1", "big:70b"),
        ("claude-sonnet-4-5", "middle:8b"),
        ("claude-here:1b", "claude-here:1b"),
        ("default", "middle:8b"),
    ],
)
def test_a_foreign_name_stands_for_the_model_that_the_map_says(name: str, told: str) -> None:
    assert aliases.meant(name, ALIASES, lambda asked: asked == "claude-here:1b") == told
    assert aliases.meant(name, {}, lambda _: False) == name


def test_the_engine_is_told_the_model_and_the_trace_that_it_was_mapped() -> None:
    body = {"model": "claude-haiku-4-5", "messages": HI, "metadata": {"user_id": "ada"}}
    for way in (NATIVE, OPENAI_ONLY):
        made = job("/v1/messages", body, meant=lambda _: MODEL)
        assert made.demand.models == (MODEL,)
        assert made.tags == ("user:ada",)
        sent = made.prepare(way)
        assert json.loads(sent.body)["model"] == MODEL
        assert "metadata" not in json.loads(sent.body)
        assert sent.notes[0] == "model.mapped"


async def ask(router: RunningRouter, path: str, model: str) -> httpx.Response:
    return await router.http.post(path, json={"model": model, "max_tokens": 5, "messages": HI})


async def test_claudes_names_are_404_unless_the_map_has_them() -> None:
    named = {"anthropic_model_map": {"haiku": MODEL}}
    async with FakeOllama() as fake, running_router(llm=named) as router:
        await router.join("a", fake, dialects=("anthropic",))
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            assert (await ask(router, path, "claude-haiku-4-5")).status_code == 200
            absent = await ask(router, path, "claude-opus-4-1")
            assert (absent.status_code, absent.json()["error"]["type"]) == (404, "not_found_error")
        assert fake.requests[0].json()["model"] == MODEL
        assert "model.mapped" in (await router.traces(1))[-1]["notes"]


async def test_tokens_are_counted_by_an_engine_that_can_and_estimated_else_without_a_slot() -> None:
    async with FakeLlama() as llama, FakeOllama() as ollama, running_router() as router:
        await router.join("b", ollama, dialects=("anthropic",))
        told = await ask(router, "/v1/messages/count_tokens", MODEL)
        assert (told.json(), told.headers["x-fleet-tokens"]) == ({"input_tokens": 4}, "estimated")
        assert not ollama.requests
        await router.join("a", llama, kind="openai", dialects=("anthropic",))
        told = await ask(router, "/v1/messages/count_tokens", MODEL)
        assert (told.json(), told.headers["x-fleet-tokens"]) == ({"input_tokens": 11}, "counted")
        for broken in (failing(500), failing(404), failing(200, b"[]"), failing(200, b"{}")):
            llama.script("/v1/messages/count_tokens", broken)
            told = await ask(router, "/v1/messages/count_tokens", MODEL)
            assert (told.status_code, told.headers["x-fleet-tokens"]) == (200, "estimated")
        wrong = await router.http.post("/v1/messages/count_tokens", json={"model": MODEL})
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")
        assert (await router.queue())["completed"] == 0
