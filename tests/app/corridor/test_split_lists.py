"""One long list over several nodes: every text once, in order, whatever breaks; one trace, no slot left behind."""

import asyncio
import json
import socket
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fakes.answers import Request
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama, packed, vector_of
from fakes.scripted import failing, hang, replying
from running import RunningRouter, loaded, running_router

from node.wire import ModelReport

MODEL = "all-minilm:latest"
TEXTS = [f"document {n}" for n in range(400)]
LIST = {"model": MODEL, "input": TEXTS}


class Fleet:
    """A router and nodes by name; a node's speed is what each text takes it, in seconds."""

    def __init__(self, router: RunningRouter, fakes: dict[str, FakeOllama]) -> None:
        self.router = router
        self.fakes = fakes

    def parts(self, node_id: str) -> list[list[str]]:
        """The texts of each request that a node got."""
        return [request.json()["input"] for request in self.fakes[node_id].requests if is_embedding(request)]

    def shares(self) -> Counter[str]:
        return Counter({node_id: sum(map(len, self.parts(node_id))) for node_id in self.fakes})

    async def ask(self, endpoint: str = "/api/embed", **more: Any) -> Any:
        answer = await self.router.http.post(endpoint, json={**LIST, **more}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer

    async def trace(self) -> dict[str, Any]:
        [trace] = await self.router.traces()
        return trace


def is_embedding(request: Request) -> bool:
    return request.path in ("/api/embed", "/v1/embeddings")


@asynccontextmanager
async def running(*speeds: float, digest: str = "d1", slots: int = 1, **more: Any):
    """Nodes a, b, c ... with the same weights; an odd one out speaks OpenAI's dialect only."""
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(running_router(**more))
        fakes: dict[str, FakeOllama] = {}
        for node_id, speed in zip("abcdef", speeds, strict=False):
            fake = FakeLlama(FakeModel(MODEL)) if node_id == "b" else FakeOllama(FakeModel(MODEL, loaded=True))
            if isinstance(fake, FakeLlama):
                fake.embeddings = True
            fake.input_s = speed
            fakes[node_id] = await stack.enter_async_context(fake)
            await join(router, node_id, fake, digest=digest, slots=slots)
        yield Fleet(router, fakes)


async def join(router: RunningRouter, node_id: str, fake: FakeOllama, **more: Any) -> None:
    kind = "openai" if isinstance(fake, FakeLlama) else "ollama"
    await router.join(node_id, fake, loaded(MODEL, modality="embed", **more), kind=kind, operations=("embed",))


@pytest.mark.parametrize("endpoint", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
async def test_a_long_list_is_one_answer_of_all_nodes_in_order(endpoint: str) -> None:
    async with running(0.0002, 0.0005, 0.001) as fleet:
        answer = await fleet.ask(endpoint)
        told = answer.json()
        own = told["embeddings"] if endpoint.startswith("/api") else [row["embedding"] for row in told["data"]]
        assert own == [vector_of(text) for text in TEXTS]
        if endpoint.startswith("/v1"):
            assert [row["index"] for row in told["data"]] == list(range(len(TEXTS)))
            assert told["usage"] == {"prompt_tokens": len(TEXTS), "total_tokens": len(TEXTS)}
        else:
            assert told["prompt_eval_count"] == len(TEXTS)
            assert told["total_duration"] > 0
        assert sum(fleet.shares().values()) == len(TEXTS)
        assert all(fleet.shares().values())
        assert sorted(answer.headers["x-fleet-split"].split(", ")) == [f"{n}={c}" for n, c in fleet.shares().items()]
        await fleet.router.until(in_flight=0, pending=0)


async def test_base64_is_kept_in_parts() -> None:
    async with running(0.0002, 0.0002) as fleet:
        rows = (await fleet.ask("/v1/embeddings", encoding_format="base64")).json()["data"]
        assert [row["embedding"] for row in rows] == [packed(vector_of(text)) for text in TEXTS]


async def test_a_divided_list_has_one_trace_with_every_nodes_share() -> None:
    async with running(0.0002, 0.001) as fleet:
        await fleet.ask(metadata={"tags": ["batch"]})
        trace = await fleet.trace()
        shares = fleet.shares()
        note, *others = trace["notes"]
        assert note.split()[0] == "input.split"
        assert dict(share.split("=") for share in note.split()[1:]) == {n: str(c) for n, c in shares.items()}
        assert set(others) <= {"keep_alive.set", "dialect.translated"}
        assert {attempt["node_id"] for attempt in trace["attempts"]} == {"a", "b"}
        assert (trace["node_id"], trace["prompt_tokens"]) == (shares.most_common(1)[0][0], len(TEXTS))
        assert (trace["tags"], trace["retry_count"], trace["modality"]) == (["batch"], 0, "embed")
        figures = await fleet.router.queue()
        assert figures["completed"] == 1


async def test_who_is_faster_gets_more() -> None:
    async with running(0.0005, 0.005) as fleet:
        await fleet.ask()
        assert fleet.shares()["a"] > 2 * fleet.shares()["b"]


async def test_weights_that_are_not_proven_to_be_the_same_are_never_mixed() -> None:
    async with running(0.0002, 0.0002) as fleet:
        router = fleet.router
        for node_id, digest in (("x", "d2"), ("y", ""), ("z", "")):
            fake = fleet.fakes[node_id] = FakeOllama(FakeModel(MODEL, loaded=True))
            await fake.__aenter__()
            await join(router, node_id, fake, digest=digest)
        await fleet.ask()
        assert {node_id for node_id, count in fleet.shares().items() if count} == {"a", "b"}
        for node_id in "xyz":
            await fleet.fakes[node_id].__aexit__(None, None, None)


async def test_weights_are_not_mixed_even_where_a_policy_would_let_them_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scoring.filters.SameDigest.refuse", lambda *_: None)
    async with running(0.0005, 0.0005) as fleet, FakeOllama(FakeModel(MODEL, loaded=True)) as other:
        await join(fleet.router, "x", other, digest="d2")
        assert (await fleet.ask()).json()["embeddings"] == [vector_of(text) for text in TEXTS]
        assert not other.asked("/api/embed")


async def test_weights_that_nobody_knows_stay_on_one_node() -> None:
    async with running(0.0002, 0.0002, digest="") as fleet:
        answer = await fleet.ask()
        assert "x-fleet-split" not in answer.headers
        assert sorted(fleet.shares().values()) == [0, len(TEXTS)]


async def test_a_list_too_long_for_one_answer_is_divided_for_one_node_too() -> None:
    async with running(0.00001, digest="") as fleet:
        texts = [f"text {n}" for n in range(2000)]
        answer = (await fleet.ask(input=texts)).json()
        assert answer["embeddings"] == [vector_of(text) for text in texts]
        assert max(map(len, fleet.parts("a"))) <= 512


async def test_a_node_that_dies_midway_loses_only_its_part() -> None:
    async with running(0.001, 0.001, 0.001) as fleet:
        call = asyncio.ensure_future(fleet.ask())
        dying = fleet.fakes["c"]
        await dying.requests.wait(2)
        await dying.refuse()
        await dying.cut()
        answer = await call
        assert answer.json()["embeddings"] == [vector_of(text) for text in TEXTS]
        trace = await fleet.trace()
        assert trace["retry_count"] >= 1
        assert {attempt["node_id"] for attempt in trace["attempts"] if attempt["outcome"] == "retried"} == {"c"}
        assert int(answer.headers["x-fleet-retries"]) == trace["retry_count"]
        figures = await fleet.router.until(in_flight=0, pending=0)
        assert figures["completed"] == 1


@pytest.mark.parametrize("fault", [failing(500), replying({"embeddings": []}), replying({"nothing": 1})])
async def test_a_part_that_fails_is_served_by_another_node(fault: Any) -> None:
    async with running(0.0005, 0.0005, 0.0005) as fleet:
        fleet.fakes["a"].script("/api/embed", fault, times=1)
        answer = await fleet.ask()
        assert answer.json()["embeddings"] == [vector_of(text) for text in TEXTS]
        assert (await fleet.trace())["retry_count"] == 1


async def test_when_nobody_can_serve_a_part_the_whole_fails_once_and_the_others_stop() -> None:
    async with running(0.001, 0.001) as fleet:
        fleet.fakes["a"].script("/api/embed", failing(500, b'{"error":"out of memory"}'), times=None)
        fleet.fakes["b"].script("/v1/embeddings", failing(500, b'{"error":"out of memory"}'), times=None)
        answer = await fleet.router.http.post("/api/embed", json=LIST)
        assert answer.status_code == 502
        assert "out of memory" in answer.json()["error"]
        assert (await fleet.trace())["status"] == "failed"
        await fleet.router.until(in_flight=0, pending=0, failed=1, completed=0)


async def test_one_text_that_an_engine_refuses_is_the_clients_error_once() -> None:
    async with running(0.001, 0.001) as fleet:
        texts = [*TEXTS[:200], "word " * 600, *TEXTS[200:]]

        def refusing(request: Request) -> Any:
            long = any(len(text) > 2000 for text in request.json()["input"])
            return failing(400, b'{"error":"too long"}') if long else fleet.fakes["a"].respond(request)

        fleet.fakes["a"].script("/api/embed", refusing, times=None)
        for path in ("/api/embed", "/v1/embeddings"):
            answer = await fleet.router.http.post(path, json={"model": MODEL, "input": texts})
            assert answer.status_code == 400, answer.text
            assert "too l" in answer.text
            await fleet.router.until(in_flight=0, pending=0)
        asked = [part for node_id in "ab" for part in fleet.parts(node_id) if "word " * 600 in part]
        assert len(asked) == 2  # once for each request


async def test_a_client_that_leaves_ends_all_parts() -> None:
    async with running(1.0, 1.0, 1.0) as fleet:
        body = json.dumps(LIST).encode()
        host, port = fleet.router.url.removeprefix("http://").split(":")
        client = socket.create_connection((host, int(port)))
        client.sendall(b"POST /api/embed HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await fleet.router.until(in_flight=3)
        client.close()
        for fake in fleet.fakes.values():
            await fake.closed.wait(1)
        await fleet.router.until(in_flight=0, pending=0)
        assert (await fleet.trace())["status"] == "client_disconnected"


async def test_no_node_gets_more_parts_at_once_than_it_has_slots() -> None:
    async with running(0.0005, 0.0005, slots=2) as fleet:
        await asyncio.gather(*(fleet.ask() for _ in range(3)))
        assert all(fake.peak == 2 for fake in fleet.fakes.values())
        await fleet.router.until(in_flight=0, pending=0, completed=3)


async def test_a_single_text_does_not_wait_for_the_end_of_a_long_list() -> None:
    async with running(0.002, 0.002) as fleet:
        long = asyncio.ensure_future(fleet.ask(input=TEXTS * 5))
        await fleet.router.until(in_flight=2)
        single = await fleet.router.http.post("/api/embed", json={"model": MODEL, "input": "one"})
        assert single.json()["embeddings"] == [vector_of("one")]
        assert not long.done()
        await long


async def test_a_node_that_hangs_is_found_out_by_its_silence() -> None:
    async with running(0.0005, 0.0005, stale_timeout=1.0) as fleet:
        fleet.fakes["a"].script("/api/embed", hang(), times=1)
        answer = await fleet.ask()
        assert answer.json()["embeddings"] == [vector_of(text) for text in TEXTS]
        assert (await fleet.trace())["retry_count"] == 1


async def test_a_node_that_holds_the_model_on_disk_loads_it_ahead_and_takes_its_share() -> None:
    async with running(0.002) as fleet, FakeOllama(FakeModel(MODEL)) as cold:
        on_disk = ModelReport(name=MODEL, modality="embed", digest="d1", size_bytes=50_000_000)
        await fleet.router.join("cold", cold, on_disk, operations=("embed", "load"))
        answer = await fleet.ask(input=TEXTS * 5)
        assert "cold=" in answer.headers["x-fleet-split"]
        first, *parts = cold.asked("/api/embed")
        assert "input" not in first.json()
        assert first.json()["keep_alive"] == -1
        assert parts


async def test_an_answer_too_large_to_put_together_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.fleet.split.ANSWER_MOST", 10_000)
    async with running(0.0005, 0.0005) as fleet:
        answer = await fleet.router.http.post("/v1/embeddings", json=LIST)
        assert answer.status_code == 413
        assert "fewer inputs" in answer.json()["error"]["message"]
        assert sum(fleet.shares().values()) < 200
        await fleet.router.until(in_flight=0, pending=0)


async def test_ten_thousand_texts_over_three_unequal_nodes_of_which_one_is_killed() -> None:
    texts = [f"passage {n} of a long book" for n in range(10_000)]
    body = {"model": MODEL, "input": texts}
    async with running(0.00005) as alone:
        single = (await alone.router.http.post("/v1/embeddings", json=body, timeout=60)).json()
    async with running(0.0001, 0.0002, 0.0004) as fleet:
        call = asyncio.ensure_future(fleet.router.http.post("/v1/embeddings", json=body, timeout=60))
        dying = fleet.fakes["a"]
        await dying.requests.wait(4)
        await dying.refuse()
        await dying.cut()
        assert (await call).json() == single
        trace = await fleet.trace()
        assert trace["status"] == "completed"
        assert trace["notes"][0].startswith("input.split")
        await fleet.router.until(in_flight=0, pending=0)
