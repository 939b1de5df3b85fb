"""Where a long request goes, what its engine is told, and that one which fits nowhere is refused at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeOllama
from running import loaded, running_router

MODEL = "smollm2:135m"
LONG = [{"role": "user", "content": "x" * 20_000}]
CHAT: dict[str, Any] = {"model": MODEL, "messages": LONG, "stream": False}


async def test_a_long_request_goes_where_it_fits_though_that_node_is_busier() -> None:
    async with FakeOllama() as small, FakeOllama() as large, running_router() as router:
        await router.join("a", small, loaded(context_length=4096, context_max=131072, slots=4))
        await router.join("b", large, loaded(context_length=16384, context_max=131072, slots=4))
        answer = await router.http.post("/api/chat", json=CHAT)
        assert answer.headers["x-fleet-node"] == "b"
        assert answer.headers["x-fleet-context"] == "needed=5004; loaded=16384; action=kept; num_ctx=16384"
        assert large.asked("/api/chat")[0].json()["options"] == {"num_ctx": 16384}


async def test_where_it_fits_no_loaded_context_an_ollama_loads_a_larger_one_and_it_is_told() -> None:
    async with FakeOllama() as fake, FakeLlama() as fixed, running_router() as router:
        await router.join("a", fixed, loaded(context_length=2048), kind="openai")
        await router.join("b", fake, loaded(context_length=4096, context_max=8192))
        answer = await router.http.post("/api/chat", json=CHAT)
        assert answer.headers["x-fleet-node"] == "b"
        assert answer.headers["x-fleet-context"] == "needed=5004; loaded=4096; action=reloaded; num_ctx=8192"
        assert fake.asked("/api/chat")[0].json()["options"] == {"num_ctx": 8192}
        [trace] = await router.traces()
        assert "context.reloaded 8192" in trace["notes"]


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/chat", "ollama"), ("/api/chat", "openai"), ("/v1/chat/completions", "openai")]
)
async def test_what_fits_nowhere_is_refused_at_once_with_both_numbers(path: str, kind: str) -> None:
    async with FakeLlama() as fake, running_router(hold_timeout=3600) as router:
        await router.join("a", fake, loaded(context_length=2048, context_max=2048), kind=kind)
        answer = await router.http.post(path, json=CHAT)
        assert answer.status_code == 400
        assert "5004" in answer.text
        assert "2048" in answer.text
        if path.startswith("/v1/"):
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
        else:
            assert isinstance(answer.json()["error"], str)
        assert fake.requests == [] or not fake.asked("/v1/chat/completions")
        [trace] = await router.traces()
        assert trace["status"] == "failed"


async def test_an_estimate_that_is_a_little_over_is_left_to_the_engine_and_said() -> None:
    async with FakeLlama() as fake, running_router() as router:
        await router.join("a", fake, loaded(context_length=4096), kind="openai")
        answer = await router.http.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 200
        assert answer.headers["x-fleet-context"] == "needed=5004; loaded=4096; action=overflow"
        assert answer.headers["x-fleet-context-overflow"] == "estimated_tokens=5004; context_length=4096"


async def test_a_prompt_that_would_fit_on_a_node_that_is_away_is_held_for_it() -> None:
    async with FakeLlama() as fake, running_router(hold_timeout=0.2) as router:
        await router.join("a", fake, loaded(context_length=2048), kind="openai")
        await router.join("b", fake, loaded(context_length=8192), kind="openai", draining=True)
        answer = await router.http.post("/v1/chat/completions", json=CHAT)
        assert answer.status_code == 503


async def test_the_mode_is_a_setting() -> None:
    async with FakeOllama() as fake, running_router(llm={"context_protection": "passthrough"}) as router:
        await router.join("a", fake, loaded(context_length=16384))
        answer = await router.http.post("/api/chat", json={**CHAT, "options": {"num_ctx": 8192}})
        assert fake.asked("/api/chat")[0].json()["options"] == {"num_ctx": 8192}
        assert "action=none" in answer.headers["x-fleet-context"]


async def test_after_a_request_in_openais_dialect_an_ollama_is_asked_to_keep_the_model() -> None:
    async with FakeOllama() as fake, running_router() as router:
        soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        await router.join("a", fake, loaded(expires_at=soon))
        await router.http.post("/v1/chat/completions", json={**CHAT, "messages": [{"role": "user"}]})
        await fake.requests.wait(2)
        [kept] = fake.asked("/api/generate")
        assert kept.json()["keep_alive"] == -1
        assert kept.json()["options"] == {"num_ctx": 4096}
