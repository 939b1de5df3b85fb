"""Runs of the benchmark over real sockets: honest counters, users first, an end at once, nothing left behind."""

import asyncio
from contextlib import suppress
from typing import Any

from fakes.fake_ollama import FakeModel, FakeOllama
from running import GIB, RunningRouter, loaded, running_router

from node.wire import ModelReport

MODEL = "smollm2:135m"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
API = "/dashboard/api/benchmarks"
CALM = {"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}


async def start(router: RunningRouter, **wish: Any) -> dict[str, Any]:
    answer = await router.http.post(f"{API}/start", json={"duration": 10, **wish}, headers=router.admin)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def progress(router: RunningRouter) -> dict[str, Any]:
    return dict((await router.http.get(f"{API}/progress")).json())


async def until(router: RunningRouter, status: str, requests: int = 0) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            told = await progress(router)
            if told["status"] == status and told.get("requests_completed", 0) >= requests:
                return told
            assert told["status"] not in {"complete", "error", "cancelled"}, told
            await asyncio.sleep(0.02)


async def cancel(router: RunningRouter) -> dict[str, Any]:
    """Ends the run; returns what was stored of it."""
    run_id = (await progress(router))["run_id"]
    answer = await router.http.post(f"{API}/cancel", headers=router.admin)
    assert answer.json() == {"status": "cancelled"}
    await until(router, "cancelled")
    return dict((await router.http.get(f"{API}/{run_id}")).json()["data"])


async def nothing_is_left(router: RunningRouter) -> None:
    assert (await router.until(in_flight=0, pending=0))["queue_depth"] == 0


async def test_a_run_counts_with_the_engines_own_counters_and_is_kept_under_its_name() -> None:
    async with FakeOllama() as fake, FakeOllama() as other, running_router(heartbeat=CALM) as router:
        fake.word_s = other.word_s = 0.01
        await router.join("a", fake, loaded(slots=2))
        await router.join("b", other, loaded(slots=3), loaded("not:used", loaded=False))
        started = await start(router, model_types=["llm"])
        told = await until(router, "running", 12)
        assert told["run_id"] == started["run_id"]
        assert told["models"] == [MODEL]
        run = await cancel(router)
        assert run["run_id"] == started["run_id"]
        assert (run["status"], run["mode"], run["total_failures"]) == ("cancelled", "default", 0)
        assert run["version"]
        assert run["tokens_per_sec"] == told["tok_per_sec"] == 10.0  # 3 tokens in 300 ms, whatever the clock said
        assert run["total_completion_tokens"] == 3 * run["total_requests"]
        assert [row["model"] for row in run["per_model_results"]] == [MODEL]
        assert {row["node_id"] for row in run["per_node_results"]} == {"a", "b"}
        assert {row["node_id"] for row in run["peak_utilization"]} == {"a", "b"}
        assert run["latency_p50_ms"] >= run["ttft_p50_ms"] > 0
        assert (fake.peak, other.peak) == (2, 3)
        assert [row["concurrency"] for row in run["fleet_snapshot"]["models"]] == [2, 3]
        await nothing_is_left(router)
        listed = (await router.http.get(API)).json()["data"]
        assert [row["run_id"] for row in listed] == [started["run_id"]]
        [trace] = await router.traces(tag="benchmark", limit=1)
        assert (trace["fallback_used"], trace["tags"]) == (False, ["benchmark"])


async def test_who_waits_is_served_before_the_benchmark_goes_on() -> None:
    async with FakeOllama() as fake, running_router(heartbeat=CALM) as router:
        await router.join("a", fake)
        await start(router)
        await until(router, "running", 1)
        asked, fake.hold = (
            len(fake.asked("/api/chat")),
            asyncio.Event(),
        )  # what begins from now on does not end by itself
        with suppress(TimeoutError):  # one that had begun may be held too, and then no other comes
            async with asyncio.timeout(1):
                while len(fake.asked("/api/chat")) == asked:
                    await asyncio.sleep(0.01)
        mine = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        async with asyncio.timeout(10):
            while not any("Hi" in str(request.body) for request in fake.asked("/api/chat")):
                await asyncio.sleep(0.02)
        fake.hold.set()
        fake.hold = None
        assert (await mine).status_code == 200
        assert (await cancel(router))["gave_way"] >= 1
        await nothing_is_left(router)


async def test_a_second_start_is_told_of_the_first_and_cancel_ends_what_hangs() -> None:
    async with FakeOllama() as fake, running_router(heartbeat=CALM) as router:
        await router.join("a", fake)
        assert (await router.http.post(f"{API}/cancel", headers=router.admin)).json() == {"status": "not_running"}
        fake.hold = asyncio.Event()
        first = await start(router)
        await router.until(in_flight=1)
        again = await router.http.post(f"{API}/start", json={}, headers=router.admin)
        assert again.status_code == 409
        assert again.json()["progress"]["run_id"] == first["run_id"]
        run = await cancel(router)
        assert (run["status"], run["total_requests"]) == ("cancelled", 0)
        await nothing_is_left(router)
        fake.hold.set()
        fake.hold = None
        assert (await start(router))["run_id"] != first["run_id"]
        await until(router, "running", 1)
        await cancel(router)


async def test_a_node_that_dies_costs_its_own_requests_and_the_others_go_on() -> None:
    async with FakeOllama() as fake, FakeOllama() as other, running_router(heartbeat=CALM) as router:
        other.word_s = fake.word_s = 0.02
        await router.join("a", fake)
        await router.join("b", other)
        await start(router)
        before = await until(router, "running", 6)
        await fake.refuse()
        await fake.cut()
        await until(router, "running", before["requests_completed"] + 10)
        run = await cancel(router)
        rows = {row["node_id"]: row for row in run["per_node_results"]}
        assert rows["b"]["failures"] == 0
        assert rows["b"]["requests"] > 5
        await nothing_is_left(router)


async def test_lists_of_texts_are_counted_in_texts_and_never_as_tokens() -> None:
    texts = ModelReport(name="embedder", modality="embed", loaded=True, size_bytes=GIB, context_length=2048)
    async with FakeOllama(FakeModel("embedder", loaded=True)) as fake, running_router(heartbeat=CALM) as router:
        fake.input_s = 0.005
        await router.join("a", fake, texts, operations=("embed",))
        refused = await router.http.post(f"{API}/start", json={"duration": 10}, headers=router.admin)
        assert refused.status_code == 400
        assert "in memory" in refused.text
        await start(router, model_types=["embed"])
        await until(router, "running", 3)
        run = await cancel(router)
        [row] = run["per_model_results"]
        assert (row["unit"], row["tok_s"], run["tokens_per_sec"], run["total_completion_tokens"]) == (
            "texts",
            None,
            None,
            0,
        )
        assert row["unit_s"] > 0
        assert {request.path for request in fake.requests} == {"/api/embed"}


async def test_smart_mode_loads_what_fits_into_half_of_the_free_memory_and_nothing_more() -> None:
    names = ("qwen3:8b", "qwen2.5-coder:7b", "llama3.3:70b")
    sizes = {"qwen3:8b": 5, "qwen2.5-coder:7b": 4, "llama3.3:70b": 60}
    operations = ("chat", "generate", "load")
    async with FakeOllama(*(FakeModel(name) for name in names)) as fake, running_router(heartbeat=CALM) as router:
        reports = [loaded(name, loaded=False, size_bytes=sizes[name] * GIB) for name in names]
        await router.join("a", fake, *reports, operations=operations)
        none = await router.http.post(f"{API}/start", json={"duration": 10}, headers=router.admin)
        assert none.status_code == 400
        await start(router, mode="smart")
        told = await until(router, "running", 2)
        assert told["models_pulled"]
        assert not any("70b" in name for name in told["models_pulled"])
        run = await cancel(router)
        assert run["mode"] == "smart"
        assert not any("70b" in str(request.body) for request in fake.requests)
        await nothing_is_left(router)


async def test_what_cannot_be_measured_is_refused_in_words() -> None:
    async with FakeOllama() as fake, running_router(heartbeat=CALM) as router:
        await router.join("a", fake)
        for body, word in (
            ({"duration": 9}, "duration"), ({"duration": 3601}, "duration"), ({"duration": "x"}, "duration"),
            ({"mode": "fast"}, "mode"), ({"model_types": ["smell"]}, "smell"), ({"model_types": []}, "model_types"),
            ([], "body"),
        ):  # fmt: skip
            answer = await router.http.post(f"{API}/start", json=body, headers=router.admin)
            assert (answer.status_code, word in answer.text) == (400, True), answer.text
        for path in ("/start", "/cancel", ""):
            assert (await router.http.post(API + path, json={})).status_code == 401
        assert (await progress(router))["status"] == "idle"
        assert (await router.http.get(f"{API}/bench-1")).json() == {"data": None}
        bad = await router.http.post(API, json={"run_id": 3}, headers=router.admin)
        assert bad.status_code == 400


async def test_a_run_that_was_measured_elsewhere_is_kept_and_replaced() -> None:
    async with running_router() as router:
        for number in (1, 2):
            run = {"run_id": "bench-5", "timestamp": 5.0, "total_requests": number}
            saved = await router.http.post(API, json=run, headers=router.admin)
            assert saved.json() == {"status": "saved", "run_id": "bench-5"}
        assert [row["total_requests"] for row in (await router.http.get(API)).json()["data"]] == [2]


async def test_a_router_that_stops_keeps_what_the_run_had_measured(tmp_path: Any) -> None:
    async with FakeOllama() as fake, running_router(heartbeat=CALM, data_dir=tmp_path) as router:
        await router.join("a", fake)
        await start(router)
        await until(router, "running", 1)
    async with running_router(data_dir=tmp_path) as router:
        [run] = (await router.http.get(API)).json()["data"]
        assert run["status"] == "cancelled"
        assert run["total_requests"] >= 1
