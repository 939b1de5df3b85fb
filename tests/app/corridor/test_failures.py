"""Nodes that fail: before the first byte another answers, afterwards the client is told; over real sockets."""

import asyncio
import json

import pytest
from fakes.answers import Responder
from fakes.fake_ollama import FakeOllama
from fakes.scripted import NDJSON, Answer, failing, hang, hung_up, reset, streaming
from running import RunningRouter, loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)
DIALECTS = [("/api/chat", True), ("/api/chat", False), ("/v1/chat/completions", True), ("/v1/chat/completions", False)]
BROKEN: dict[str, Responder] = {
    "reset": reset(),
    "closed without a byte": hung_up(),
    "status 500": failing(500),
    "status 503": failing(503),
    "html": Answer(pieces=(b"<html>busy</html>",), content_type="text/html"),
    "an empty answer": Answer(pieces=()),
    "an error record first": Answer(pieces=(b'{"error":"out of memory"}\n',), content_type=NDJSON),
}


async def two_nodes(router: RunningRouter, first: FakeOllama, second: FakeOllama) -> None:
    """Node a is always asked first: node b is degraded by a request that already runs there."""
    await router.join("a", first)
    await router.join("b", second)


@pytest.mark.parametrize(("path", "stream"), DIALECTS)
@pytest.mark.parametrize("fault", BROKEN)
async def test_when_the_first_node_breaks_before_its_first_byte_the_second_answers(
    fault: str, path: str, stream: bool
) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        first.script(path, BROKEN[fault], times=None)
        answer = await router.http.post(path, json={**BODY, "stream": stream})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-fleet-node"] == "b"
        assert answer.headers["x-fleet-retries"] == "1"
        assert "Hello" in answer.text
        figures = await router.until(in_flight=0)
        assert all(line["in_flight"] == 0 for line in figures["queues"].values())
        [trace] = await router.traces()
        assert (trace["status"], trace["node_id"], trace["retry_count"]) == ("completed", "b", 1)
        assert [attempt["node_id"] for attempt in trace["attempts"]] == ["a", "b"]
        assert trace["excluded_nodes"] == ["a"]


@pytest.mark.parametrize(("path", "stream"), DIALECTS)
async def test_when_the_first_node_refuses_connections_the_second_answers(path: str, stream: bool) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        await first.refuse()
        answer = await router.http.post(path, json={**BODY, "stream": stream})
        assert answer.status_code == 200
        assert answer.headers["x-fleet-node"] == "b"
        assert answer.headers["x-fleet-retries"] == "1"


async def test_when_the_first_node_hangs_before_its_first_byte_the_second_answers() -> None:
    limits = {"first_byte_timeout": 0.3}
    async with FakeOllama() as first, FakeOllama() as second, running_router(**limits) as router:
        await two_nodes(router, first, second)
        first.script("/api/chat", hang(), times=None)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 200
        assert answer.headers["x-fleet-node"] == "b"
        [closed] = await first.closed.wait(1)
        assert closed.sent == 0


async def test_no_retry_header_is_sent_when_nothing_was_retried() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.headers["x-fleet-node"] == "a"
        assert "x-fleet-retries" not in answer.headers
        assert "x-fleet-fallback" not in answer.headers
        assert answer.headers["x-fleet-score"].lstrip("-").isdigit()


@pytest.mark.parametrize(("path", "stream"), DIALECTS)
async def test_when_all_nodes_fail_the_client_is_told_and_one_failed_trace_is_written(path: str, stream: bool) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        for fake in (first, second):
            fake.script(path, failing(500, b'{"error":"llama runner died"}'), times=None)
        answer = await router.http.post(path, json={**BODY, "stream": stream})
        assert answer.status_code == 502
        error = answer.json()["error"]
        assert "llama runner died" in (error if path.startswith("/api") else error["message"])
        [trace] = await router.traces()
        assert trace["status"] == "failed"
        assert "llama runner died" in trace["error_message"]
        await router.until(in_flight=0, failed=1, completed=0)


async def test_retries_can_be_switched_off() -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router(max_retries=0) as router:
        await two_nodes(router, first, second)
        first.script("/api/chat", failing(500), times=None)
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 502
        assert not second.asked("/api/chat")


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_an_ollama_stream_that_breaks_ends_in_an_error_line(end: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", streaming(LINE, 0.05, end=end))
        answer = await router.http.post("/api/chat", json=BODY)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines[0] == json.loads(LINE)
        assert list(lines[-1]) == ["error"]
        [trace] = await router.traces()
        assert trace["status"] == "incomplete"
        await router.until(in_flight=0)


@pytest.mark.parametrize("end", ["close", "reset", "done"])
async def test_an_openai_stream_that_breaks_ends_in_an_error_event_without_done(end: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/v1/chat/completions", streaming(EVENT, 0.05, content_type="text/event-stream", end=end))
        answer = await router.http.post("/v1/chat/completions", json={**BODY, "stream": True})
        events = [event for event in answer.text.split("\n\n") if event]
        assert events[0].encode() + b"\n\n" == EVENT
        assert "error" in json.loads(events[-1].removeprefix("data: "))
        assert "[DONE]" not in answer.text
        [trace] = await router.traces()
        assert trace["status"] == "incomplete"


async def test_a_stream_that_makes_no_progress_is_reaped_and_told() -> None:
    async with FakeOllama() as fake, running_router(stale_timeout=0.3) as router:
        await router.join("a", fake)
        fake.script("/api/chat", streaming(LINE, asyncio.Event()))
        answer = await router.http.post("/api/chat", json=BODY)
        assert "error" in json.loads(answer.text.splitlines()[-1])
        [trace] = await router.traces()
        assert trace["status"] == "expired"
        await fake.closed.wait(1)
        await router.until(in_flight=0)


async def test_a_long_stream_with_progress_is_never_reaped() -> None:
    async with FakeOllama() as fake, running_router(stale_timeout=0.4) as router:
        await router.join("a", fake)
        fake.words, fake.word_s = [" w"] * 10, 0.1
        answer = await router.http.post("/api/chat", json=BODY)
        assert json.loads(answer.text.splitlines()[-1])["done"] is True
        [trace] = await router.traces()
        assert trace["status"] == "completed"


async def test_an_answer_that_is_not_streamed_and_breaks_is_tried_elsewhere_whole() -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        first.script("/api/chat", Answer(pieces=(b'{"message":{"content":"ha',), missing=50, end="close"), times=None)
        answer = await router.http.post("/api/chat", json={**BODY, "stream": False})
        assert answer.json()["message"]["content"] == "Hello from fake"
        assert answer.headers["x-fleet-node"] == "b"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_what_no_model_of_that_name_can_do_is_refused_at_once_and_not_held(path: str) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    async with FakeOllama() as first, running_router(hold_timeout=60) as router:
        await router.join("a", first, loaded(capabilities=("completion",)))
        answer = await router.http.post(path, json={**BODY, "tools": tools})
        assert answer.status_code == 400
        assert "smollm2:135m: does not support tools" in answer.text
        assert first.asked(path) == []


async def test_a_4xx_of_the_engine_is_the_clients_and_is_not_retried() -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        first.script("/api/chat", failing(400, b'{"error":"smollm2 does not support tools"}'), times=None)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 400
        assert answer.json() == {"error": "smollm2 does not support tools"}
        assert not second.asked("/api/chat")


@pytest.mark.parametrize(
    "words", ['invalid format: "x"; expected "json" or a JSON Schema', 'option "num_ctx" must be of type integer']
)
async def test_a_500_of_ollama_that_blames_the_request_is_the_clients_and_no_fault_of_the_engine(words: str) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        for fake in (first, second):
            fake.script("/api/chat", failing(500, json.dumps({"error": words}).encode()), times=None)
        for _ in range(8):  # of real failures, half as many would let both engines rest
            answer = await router.http.post("/api/chat", json=BODY)
            assert (answer.status_code, answer.json()) == (500, {"error": words})
        assert len(first.asked("/api/chat")) + len(second.asked("/api/chat")) == 8
        told = (await router.http.get("/fleet/explain", params={"model": BODY["model"]})).json()
        assert told["refused"] == []


async def test_a_node_that_lost_the_model_is_passed_over_and_when_all_did_it_is_404() -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await two_nodes(router, first, second)
        gone = failing(404, b'{"error":"model \'smollm2:135m\' not found"}')
        first.script("/api/chat", gone, times=None)
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.headers["x-fleet-node"] == "b"
        second.script("/api/chat", gone, times=None)
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 404


async def test_the_routers_stop_is_told_to_those_it_cuts() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.script("/api/chat", streaming(LINE, asyncio.Event()))
        call = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(in_flight=1)
        await fake.requests.wait(1)
        await asyncio.sleep(0.05)
        router.router.dispatcher.closing = True
        refused = await router.http.post("/api/chat", json=BODY)
        assert refused.status_code == 503
        router.router.dispatcher.cut_all()
        answer = await call
        assert "stopping" in json.loads(answer.text.splitlines()[-1])["error"]
