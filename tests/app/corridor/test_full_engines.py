"""Engines that answer "busy": the request goes back to its place in line, and nobody is hammered; over real sockets."""

import asyncio

import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import failing
from running import loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
FULL = failing(503, b'{"error":"server busy, please try again. maximum pending requests exceeded"}')


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_request_that_the_only_engine_is_too_full_for_is_served_when_it_is_not(path: str) -> None:
    """Twice is no retry: even with none allowed the client sees only its answer."""
    async with FakeOllama() as only, running_router(max_retries=0) as router:
        await router.join("a", only)
        only.script(path, FULL, times=2)
        answer = await router.http.post(path, json=BODY)
        assert answer.status_code == 200
        first, second, third = (request.at for request in only.asked(path))
        assert second - first > 0.9
        assert third - second > 1.9
        await router.until(completed=1, failed=0, queue_depth=0)


async def test_requests_keep_their_order_when_the_engine_was_full() -> None:
    async with FakeOllama() as only, running_router() as router:
        await router.join("a", only)
        only.script("/api/chat", FULL, times=1)
        calls = []
        for number in range(4):
            calls.append(asyncio.ensure_future(router.http.post("/api/chat", json={**BODY, "number": number})))
            await only.requests.wait(1)
            await router.until(queue_depth=number + 1)
        assert [(await call).status_code for call in calls] == [200] * 4
        assert [request.json()["number"] for request in only.asked("/api/chat")] == [0, 0, 1, 2, 3]


async def test_twenty_requests_do_not_hammer_an_engine_that_is_full() -> None:
    async with FakeOllama() as full, running_router(queue_timeout=3.5) as router:
        await router.join("a", full, loaded(slots=4))
        full.script("/api/chat", FULL, times=None)
        answers = await asyncio.gather(*(router.http.post("/api/chat", json=BODY) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {503}
        assert len(full.asked("/api/chat")) <= 4 + 2  # all slots once, then one after each pause


async def test_an_engine_that_stays_full_has_its_model_loaded_elsewhere() -> None:
    async with FakeOllama() as full, FakeOllama() as cold, running_router() as router:
        await router.join("a", full)
        await router.join("b", cold, loaded(loaded=False))
        full.script("/api/chat", FULL, times=None)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.headers["x-fleet-node"] == "b"
        assert len(full.asked("/api/chat")) == 2


async def test_a_full_engine_is_no_failing_one() -> None:
    async with FakeOllama() as full, FakeOllama() as other, running_router() as router:
        await router.join("a", full)
        await router.join("b", other)
        for _ in range(4):
            full.script("/api/chat", FULL)
            await router.http.post("/api/chat", json=BODY)
        told = (await router.http.get("/fleet/explain", params={"model": "smollm2:135m"})).json()
        assert "failing" not in {refused["filter"] for refused in told["refused"]}
