"""What an adversary found: slots, tickets and traces when nodes leave, lie or refuse at the worst moment."""

import asyncio

import pytest
from fakes.fake_ollama import FakeOllama
from fakes.scripted import NDJSON, Answer, failing, hang, reset
from running import RunningRouter, loaded, running_router

from app.errors import NodeTimeout

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
WHOLE = {**BODY, "stream": False}


async def served_by(router: RunningRouter, count: int) -> list[str]:
    answers = [await router.http.post("/api/chat", json=WHOLE) for _ in range(count)]
    assert [answer.status_code for answer in answers] == [200] * count
    return [answer.headers["x-fleet-node"] for answer in answers]


async def test_a_node_that_only_fails_is_tried_a_few_times_and_is_back_soon_after_it_heals() -> None:
    async with FakeOllama() as bad, FakeOllama() as good, running_router() as router:
        await router.join("bad", bad)
        await router.join("good", good, loaded(loaded=False))
        bad.script("/api/chat", failing(500), times=None)
        assert set(await served_by(router, 40)) == {"good"}
        assert len(bad.asked("/api/chat")) <= 6
        told = (await router.http.get("/fleet/explain", params={"model": "smollm2:135m"})).json()
        assert [(one["node_id"], one["filter"]) for one in told["refused"]] == [("bad", "failing")]
        bad.unscript()
        async with asyncio.timeout(10):
            while await served_by(router, 1) != ["bad"]:
                await asyncio.sleep(0.2)
        assert set(await served_by(router, 4)) == {"bad", "good"}  # both have the model loaded by now


async def test_an_engine_that_was_started_anew_is_trusted_at_once() -> None:
    async with FakeOllama() as bad, FakeOllama() as good, running_router() as router:
        await router.join("bad", bad)
        await router.join("good", good, loaded(loaded=False))
        bad.script("/api/chat", failing(500), times=None)
        await served_by(router, 4)
        bad.unscript()
        await router.join("bad", bad, healthy=False)
        await router.join("bad", bad)
        assert await served_by(router, 1) == ["bad"]


async def test_the_only_node_is_asked_again_and_again_however_often_it_fails() -> None:
    async with FakeOllama() as only, running_router() as router:
        await router.join("a", only)
        only.script("/api/chat", failing(500), times=8)
        statuses = [(await router.http.post("/api/chat", json=WHOLE)).status_code for _ in range(9)]
        assert statuses == [502] * 8 + [200]


async def test_a_request_that_kills_engines_reaches_no_more_than_its_retries_allow() -> None:
    fakes = [FakeOllama() for _ in range(5)]
    async with fakes[0], fakes[1], fakes[2], fakes[3], fakes[4], running_router(max_retries=2) as router:
        for number, fake in enumerate(fakes):
            await router.join(f"n{number}", fake)
            fake.script("/api/chat", reset(), times=None)
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 502
        assert sum(len(fake.asked("/api/chat")) for fake in fakes) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_when_every_engine_stays_full_none_is_hammered_and_the_client_is_told_to_come_back(status: int) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router(queue_timeout=2.5) as router:
        await router.join("a", first)
        await router.join("b", second)
        first.script("/api/chat", failing(status, b'{"error":"server busy"}'), times=None)
        assert await served_by(router, 1) == ["b"]
        second.script("/api/chat", failing(status, b'{"error":"server busy"}'), times=None)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert len(first.asked("/api/chat")) + len(second.asked("/api/chat")) <= 7


@pytest.mark.parametrize("status", [401, 403])
async def test_an_engine_that_does_not_let_the_router_in_is_passed_over(status: int) -> None:
    """The door of a node that was started anew opens to another secret until its heartbeat has told it."""
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await router.join("a", first)
        await router.join("b", second)
        first.script("/api/chat", failing(status), times=None)
        assert await served_by(router, 1) == ["b"]
        second.script("/api/chat", failing(status), times=None)
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 502


async def test_what_one_engine_cannot_be_asked_goes_to_one_that_can() -> None:
    """Filling in the middle has no word in OpenAI's dialect: the engine that speaks Ollama's is asked."""
    body = {"model": "smollm2:135m", "prompt": "def f(", "suffix": "return x", "stream": False}
    async with FakeOllama() as only, FakeOllama() as native, running_router() as router:
        await router.join("a", only, loaded(), kind="openai")
        refused = await router.http.post("/api/generate", json=body)
        assert refused.status_code == 400
        assert "suffix" in refused.json()["error"]
        await router.join("b", native, loaded(loaded=False))
        answer = await router.http.post("/api/generate", json=body)
        assert answer.status_code == 200
        assert answer.headers["x-fleet-node"] == "b"
        assert "x-fleet-retries" not in answer.headers
        assert not only.asked("/v1/completions")
        figures = await router.until(in_flight=0)
        assert all(line["in_flight"] == 0 for line in figures["queues"].values())


async def test_a_node_that_is_forgotten_at_the_moment_of_a_grant_leaves_no_slot_held() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        dispatcher = router.router.dispatcher
        fake.hold = asyncio.Event()
        running = asyncio.ensure_future(router.http.post("/api/chat", json=WHOLE))
        await router.until(in_flight=1)
        waiting = asyncio.ensure_future(router.http.post("/api/chat", json=WHOLE))
        await router.until(pending=1)
        original = dispatcher.nudge

        def nudging(models=None) -> None:
            original(models)  # the waiting one is granted, but has not woken up yet
            dispatcher._registry.forget("a")

        dispatcher.nudge = nudging  # type: ignore[method-assign]
        fake.hold.set()
        assert [(await call).status_code for call in (running, waiting)] == [200, 502]
        assert dispatcher._queue.leases() == ()
        statuses = sorted(trace["status"] for trace in await router.traces(2))
        assert statuses == ["completed", "failed"]


async def test_a_fault_of_the_router_itself_frees_the_slot_and_leaves_a_trace() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        router.router.dispatcher._nodes.open = broken  # type: ignore[method-assign,assignment]
        answer = await router.http.post("/api/chat", json=WHOLE)
        assert answer.status_code == 500
        assert answer.json() == {"error": "internal error"}
        [trace] = await router.traces()
        assert (trace["status"], trace["error_message"]) == ("failed", "internal error: ZeroDivisionError")
        await router.until(in_flight=0)


async def test_a_model_that_every_node_lost_is_404_at_once_for_those_who_wait_for_it() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.hold = asyncio.Event()
        gone = Answer(status=404, pieces=(b'{"error":"model not found"}',), before=fake.hold)
        fake.script("/api/chat", gone, times=None)
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=WHOLE)) for _ in range(5)]
        await router.until(in_flight=1, pending=4)
        fake.hold.set()
        assert {(await call).status_code for call in calls} == {404}
        assert len(fake.asked("/api/chat")) == 1


async def test_a_late_verdict_on_a_finished_request_does_not_end_the_next_one_on_its_connection() -> None:
    """The probe of a silent engine may come to its end after the engine answered."""
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        dispatcher = router.router.dispatcher
        opened = []
        original = dispatcher._nodes.open

        def remembering(route, call):
            opened.append(original(route, call))
            return opened[-1]

        dispatcher._nodes.open = remembering  # type: ignore[method-assign]
        await served_by(router, 1)
        fake.hold = asyncio.Event()
        following = asyncio.ensure_future(router.http.post("/api/chat", json=WHOLE))
        await fake.requests.wait(2)
        opened[0].abort(NodeTimeout("too late"))
        fake.hold.set()
        assert (await following).status_code == 200
        assert fake.requests[0].connection == fake.requests[1].connection


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_during_the_second_try_ends_it(stream: bool) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await router.join("a", first)
        await router.join("b", second, loaded(loaded=False))
        first.script("/api/chat", failing(500), times=None)
        second.script("/api/chat", hang(), times=None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await router.http.post("/api/chat", json={**BODY, "stream": stream})
        await second.closed.wait(1)
        await router.until(in_flight=0)
        [trace] = await router.traces()
        assert (trace["status"], trace["retry_count"]) == ("client_disconnected", 1)


async def test_a_record_without_an_end_is_cut_and_its_memory_bounded() -> None:
    async def endless():
        for _ in range(200):
            yield b'{"message":{"content":"' + b"x" * 65536
        yield asyncio.Event()

    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await router.join("a", first)
        await router.join("b", second, loaded(loaded=False))
        first.script("/api/chat", Answer(pieces=endless(), content_type=NDJSON, framing="chunked"))
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.headers["x-fleet-node"] == "b"
        await first.closed.wait(1)
        assert first.closed[0].sent < 32 * 1024 * 1024
