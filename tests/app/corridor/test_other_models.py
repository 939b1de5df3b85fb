"""When another model answers than the one that was asked for: which one, when none may, and how the client hears."""

import asyncio
from typing import Any

import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from running import GIB, RunningRouter, loaded, running_router

from node.wire import ModelReport

ASKED, OTHER, SMALL, CODER = "gemma3:27b", "qwen3:32b", "llama3.2:3b", "qwen3-coder:30b"
CHAT: dict[str, Any] = {"model": ASKED, "messages": [{"role": "user", "content": "hi"}], "stream": False}
COLD = ModelReport(name=ASKED, size_bytes=17 * GIB)
CAN = ("completion", "tools")


def hot(name: str, gb: int, **more: Any) -> ModelReport:
    return loaded(name, **{"size_bytes": gb * GIB, "resident_bytes": gb * GIB, "capabilities": CAN, **more})


async def ask(router: RunningRouter, path: str = "/api/chat", head: dict[str, str] | None = None, **more: Any) -> Any:
    answer = await router.http.post(path, json={**CHAT, **more}, headers=head)
    assert answer.status_code == 200, answer.text
    return answer


def fakes() -> FakeOllama:
    return FakeOllama(*map(FakeModel, (ASKED, OTHER, SMALL, CODER)))


async def test_a_loaded_model_of_the_same_category_stands_in_for_a_cold_one_and_is_told() -> None:
    async with fakes() as fake, running_router() as router:
        await router.join("a", fake, COLD, hot(OTHER, 20), hot(CODER, 20))
        answer = await ask(router)
        assert answer.headers["x-fleet-fallback"] == OTHER
        assert answer.headers["x-fleet-served-model"] == OTHER
        assert answer.headers["x-fleet-requested-model"] == ASKED
        assert fake.asked("/api/chat")[0].json()["model"] == OTHER
        [trace] = await router.traces()
        assert (trace["how"], trace["fallback_used"], trace["model"]) == ("substitute", True, OTHER)
        assert trace["original_model"] == ASKED
        assert "model.substituted" in trace["notes"]


@pytest.mark.parametrize(
    ("there", "how"),
    [
        ([hot(CODER, 20)], {}),
        ([hot(SMALL, 2)], {}),
        ([hot(OTHER, 20, capabilities=("completion",))], {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ([hot(OTHER, 20, context_length=1024)], {"messages": [{"role": "user", "content": "x" * 8000}]}),
        ([hot(OTHER, 20)], {"fallback": False}),
        ([hot(OTHER, 20)], {"head": {"X-Fleet-No-Fallback": "true"}}),
        ([hot(OTHER, 20)], {"path": "/api/generate", "prompt": "hi", "raw": True}),
        ([hot(OTHER, 20)], {"path": "/api/generate", "prompt": "hi", "context": [1, 2]}),
        ([hot(OTHER, 20)], {"path": "/api/generate", "prompt": ""}),
        ([hot(OTHER, 20)], {"messages": []}),
    ],
    ids=["other category", "smaller", "without tools", "too little context", "body", "header", "raw", "tokens", "load",
         "load by chat"],
)  # fmt: skip
async def test_nothing_stands_in(there: list[ModelReport], how: dict[str, Any]) -> None:
    async with fakes() as fake, running_router() as router:
        await router.join("a", fake, COLD, *there)
        answer = await ask(router, **how)
        assert "x-fleet-fallback" not in answer.headers
        assert answer.headers["x-fleet-served-model"] == ASKED
        sent = fake.requests[-1].json()
        assert sent["model"] == ASKED
        assert "fallback" not in sent


async def test_nothing_stands_in_when_the_setting_says_so() -> None:
    async with fakes() as fake, running_router(llm={"vram_fallback": False}) as router:
        await router.join("a", fake, COLD, hot(OTHER, 20))
        assert (await ask(router)).headers["x-fleet-served-model"] == ASKED


async def test_a_loaded_fallback_goes_before_the_cold_model_and_before_any_substitute() -> None:
    async with fakes() as fake, running_router() as router:
        await router.join("a", fake, COLD, hot(OTHER, 20), hot(SMALL, 2))
        answer = await ask(router, "/v1/chat/completions", fallback_models=["not:here", SMALL])
        assert answer.headers["x-fleet-fallback"] == SMALL
        [trace] = await router.traces()
        assert (trace["how"], trace["fallback_used"]) == ("fallback", True)


async def test_a_fallback_that_is_the_same_model_in_another_spelling_is_none() -> None:
    async with FakeOllama(FakeModel("llama3:latest")) as fake, running_router() as router:
        await router.join("a", fake, loaded("llama3:latest"))
        answer = await ask(router, model="llama3", fallback_models=["llama3:latest"])
        assert "x-fleet-fallback" not in answer.headers
        [trace] = await router.traces()
        assert (trace["how"], trace["fallback_used"]) == ("asked", False)


async def test_who_waits_for_a_substitute_is_served_as_soon_as_its_slot_is_free() -> None:
    silent = {"heartbeat_timeout": 3600, "heartbeat_offline": 3600}
    async with fakes() as fake, running_router(rebalance_interval=3600, heartbeat=silent) as router:
        fake.hold = asyncio.Event()
        await router.join("a", fake, COLD, hot(OTHER, 20))
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(ask(router)) for _ in range(2)]
            await router.until(in_flight=1, pending=1)
            fake.hold.set()
        assert [task.result().headers["x-fleet-fallback"] for task in asked] == [OTHER, OTHER]
