"""Models that must be loaded first: one load for a burst, and a second node that loads ahead; over real sockets."""

import asyncio
from collections import Counter
from typing import Any

from fakes.answers import Answer
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import Request, failing
from running import RunningRouter, loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}], "options": {"num_predict": 5}}
COLD = loaded(loaded=False, context_length=None)


class LoadingOllama(FakeOllama):
    """Counts what loads its model: a request that finds it on disk only. ``gate`` holds loads up."""

    def __init__(self) -> None:
        super().__init__(FakeModel("smollm2:135m"))
        self.loads = 0
        self.gate = asyncio.Event()

    def respond(self, request: Request) -> Answer:
        model = self.models["smollm2:135m"]
        cold = self.counts(request) and not model.loaded
        answer = super().respond(request)
        if not cold:
            return answer
        self.loads += 1
        return Answer(pieces=answer.pieces, content_type=answer.content_type, framing=answer.framing, before=self.gate)


async def burst(router: RunningRouter, count: int = 20) -> list[asyncio.Future[Any]]:
    calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(count)]
    await router.until(queue_depth=count)
    return calls


async def test_twenty_requests_for_a_cold_model_cause_one_load() -> None:
    async with LoadingOllama() as a, LoadingOllama() as b, LoadingOllama() as c, running_router() as router:
        engines = {"a": a, "b": b, "c": c}
        for name, engine in engines.items():
            await router.join(name, engine, COLD, operations=("chat", "generate", "load"))
        calls = await burst(router)
        await asyncio.sleep(1.2)  # two rounds of looking whether another node should load it ahead
        assert sum(engine.loads for engine in engines.values()) == 1
        figures = await router.queue()
        assert (figures["in_flight"], figures["pending"]) == (1, 19)
        for engine in engines.values():
            engine.gate.set()
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 20


async def test_after_the_one_load_a_long_line_is_spread_by_a_second_node_that_loads_ahead() -> None:
    async with LoadingOllama() as a, LoadingOllama() as b, running_router() as router:
        for name, engine in (("a", a), ("b", b)):
            await router.join(name, engine, COLD, operations=("chat", "generate", "load"))
            engine.hold_last = asyncio.Event()
        calls = await burst(router)
        first, second = (a, b) if a.loads else (b, a)
        second.gate.set()
        first.gate.set()  # its one slot stays taken
        await router.until(prewarmed=1)
        assert (first.loads, second.loads) == (1, 1)
        await router.until(in_flight=2, pending=18)
        for engine in (a, b):
            assert engine.hold_last is not None
            engine.hold_last.set()
        served = Counter([(await call).headers["x-fleet-node"] for call in calls])
        assert min(served.values()) > 3
        assert second.asked("/api/generate")[0].json()["keep_alive"] == -1


async def test_requests_one_after_the_other_load_one_node_though_no_heartbeat_has_told_yet() -> None:
    async with LoadingOllama() as a, LoadingOllama() as b, running_router() as router:
        for name, engine in (("a", a), ("b", b)):
            engine.gate.set()
            await router.join(name, engine, COLD)
        for _ in range(4):
            assert (await router.http.post("/api/chat", json=BODY)).status_code == 200
        assert a.loads + b.loads == 1


async def test_when_the_load_fails_the_next_node_loads_it() -> None:
    async with LoadingOllama() as a, LoadingOllama() as b, running_router() as router:
        for name, engine in (("a", a), ("b", b)):
            await router.join(name, engine, COLD)
            engine.gate.set()
        a.script("/api/chat", failing(500, b'{"error":"out of memory"}'), times=None)
        calls = [router.http.post("/api/chat", json=BODY) for _ in range(5)]
        answers = await asyncio.gather(*calls)
        assert [answer.headers["x-fleet-node"] for answer in answers] == ["b"] * 5
        assert b.loads == 1


async def test_a_cold_load_may_be_silent_for_longer_than_a_loaded_model() -> None:
    limits = {"first_byte_timeout": 0.3, "load_timeout": 30.0, "max_retries": 0}
    async with LoadingOllama() as a, running_router(**limits) as router:
        await router.join("a", a, COLD)
        call = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await a.requests.wait(1)
        await asyncio.sleep(1.0)
        assert not call.done()
        a.gate.set()
        assert (await call).status_code == 200
        a.hold = asyncio.Event()
        answer = await router.http.post("/api/chat", json=BODY)  # known to be loaded, before any heartbeat says so
        assert answer.status_code == 502
        assert "sent nothing" in answer.text


async def test_a_model_that_is_let_go_by_a_request_is_not_taken_for_loaded() -> None:
    async with LoadingOllama() as a, running_router() as router:
        a.gate.set()
        await router.join("a", a, COLD)
        assert (await router.http.post("/api/chat", json={**BODY, "keep_alive": 0})).status_code == 200
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert node["ollama"]["models_loaded"] == []
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 200
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert len(node["ollama"]["models_loaded"]) == 1


async def test_a_load_ahead_that_fails_disturbs_nobody_and_is_not_counted() -> None:
    async with LoadingOllama() as a, LoadingOllama() as b, running_router() as router:
        a.models["smollm2:135m"].loaded = True
        a.hold = asyncio.Event()
        await router.join("a", a)
        b.script("/api/generate", failing(500), times=None)
        await router.join("b", b, COLD, operations=("chat", "generate", "load"), capacity=None)
        calls = await burst(router, 5)
        await b.requests.wait(1)
        a.hold.set()
        assert {(await call).status_code for call in calls} == {200}
        assert (await router.queue())["prewarmed"] == 0
