"""Eighteen promises about a request that are easily broken, one test each, over real sockets where bytes matter."""

import asyncio
import base64
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from fakes.fake_images import FakeImages, size_of
from fakes.fake_ollama import FakeModel, FakeOllama, vector_of
from fakes.fake_speech import SAID, WAV, FakeSpeech, Sent
from fakes.scripted import failing, replying, streaming
from painters import painter, painting
from running import loaded, running_router

from app import cli
from app.modalities.sections import found
from app.settings.book import Book
from app.settings.schema import Settings
from app.store.database import migrate
from app.store.store import Store
from node import cli as node_cli
from node.settings import NodeSettings
from node.wire import EngineReport, Heartbeat

MODEL = "smollm2:135m"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi"}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = b'{"model":"smollm2:135m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'
EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)
INFERENCE = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"]
CHATS = ["/api/chat", "/v1/chat/completions"]


async def test_1_twenty_requests_on_one_slot_never_run_two_at_once_and_know_their_wait() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded(slots=1))
        fake.hold = asyncio.Event()
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(20)]
        figures = await router.until(in_flight=1, pending=19)
        assert figures["estimated_wait_ms"] is not None
        assert all(view["estimated_wait_ms"] is not None for view in figures["waiting"])
        fake.hold.set()
        await asyncio.gather(*calls)
        assert fake.peak == 1


@pytest.mark.parametrize("path", [*INFERENCE, "/api/show"])
async def test_2_a_body_without_the_content_type_of_json_is_read_as_json(path: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d says
        answer = await router.http.post(path, content=json.dumps(BODY), headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize("body", [b'{"model":', b"[1]", b""])
@pytest.mark.parametrize("path", INFERENCE)
async def test_3_a_broken_body_is_400_in_the_callers_own_envelope(path: str, body: bytes) -> None:
    async with running_router() as router:
        answer = await router.http.post(path, content=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert isinstance(error["message"] if path.startswith("/v1") else error, str)


@pytest.mark.parametrize("path", CHATS)
async def test_4_when_the_first_node_refuses_the_connection_the_second_answers_and_no_slot_is_held(path: str) -> None:
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        await router.join("a", first)
        await router.join("b", second)
        await first.refuse()
        answer = await router.http.post(path, json=BODY)
        assert (answer.status_code, answer.headers["x-fleet-node"], answer.headers["x-fleet-retries"]) == (
            200,
            "b",
            "1",
        )
        figures = await router.until(in_flight=0)
        assert {line["in_flight"] for line in figures["queues"].values()} == {0}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", CHATS)
async def test_5_when_all_nodes_fail_it_is_502_and_one_failed_trace_and_nothing_looks_well(
    path: str, stream: bool
) -> None:
    """Headers are sent with the first record, so a stream that never began can still say 502."""
    async with FakeOllama() as first, FakeOllama() as second, running_router() as router:
        for name, fake in (("a", first), ("b", second)):
            await router.join(name, fake)
            fake.script(path, failing(500, b'{"error":"llama runner died"}'), times=None)
        answer = await router.http.post(path, json={**BODY, "stream": stream})
        assert answer.status_code == 502
        assert "llama runner died" in answer.text
        assert [trace["status"] for trace in await router.traces()] == ["failed"]
        await router.until(failed=1, completed=0, in_flight=0)


@pytest.mark.parametrize(("path", "first"), [("/api/chat", LINE), ("/v1/chat/completions", EVENT)])
async def test_6_a_stream_that_breaks_ends_in_an_error_and_never_as_if_it_were_whole(path: str, first: bytes) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        kind = "application/x-ndjson" if path.startswith("/api") else "text/event-stream"
        fake.script(path, streaming(first, 0.02, content_type=kind, end="close"))
        text = (await router.http.post(path, json={**BODY, "stream": True})).text
        assert "error" in json.loads(text.strip().splitlines()[-1].removeprefix("data: "))
        assert "[DONE]" not in text
        assert '"done":true' not in text
        [trace] = await router.traces()
        assert trace["status"] == "incomplete"


async def test_7_a_client_that_leaves_while_queued_is_never_sent_to_an_engine() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        fake.hold = asyncio.Event()
        running = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(in_flight=1)
        host, port = router.url.removeprefix("http://").split(":")
        body = json.dumps(BODY).encode()
        client = socket.create_connection((host, int(port)))
        client.sendall(b"POST /api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await router.until(pending=1)
        client.close()
        await router.until(pending=0)
        fake.hold.set()
        await running
        assert len(fake.asked("/api/chat")) == 1
        assert {trace["status"] for trace in await router.traces(2)} == {"completed", "client_disconnected"}


async def test_8_an_image_has_the_size_that_was_asked_for_and_there_are_as_many_as_were_asked_for() -> None:
    async with FakeImages() as fake, running_router() as router:
        await router.beat(painter("a", painting("m", port=fake.port)))
        body = {"model": "m", "prompt": "a fox", "size": "512x256"}
        answer = await router.http.post("/v1/images/generations", json={**body, "n": 2})
        pictures = [base64.b64decode(one["b64_json"]) for one in answer.json()["data"]]
        assert [size_of(picture) for picture in pictures] == [(512, 256)] * 2
        assert size_of((await router.http.post("/api/generate-image", json=body)).content) == (512, 256)
        assert (await router.http.post("/api/generate-image", json={**body, "n": 2})).status_code == 400


@pytest.mark.parametrize("field", ["file", "audio"])
async def test_9_speech_may_be_sent_as_file_or_as_audio(field: str) -> None:
    async with FakeSpeech() as fake, running_router() as router:
        await router.join("a", fake, loaded("ear", modality="stt"), kind="whisper", operations=("transcribe",))
        answer = await router.http.post("/api/transcribe", files={field: ("a.wav", WAV)}, data={"model": "ear"})
        assert (answer.status_code, answer.json()["text"]) == (200, SAID)
        assert Sent.of(fake.requests[0]).sound == WAV


@pytest.mark.parametrize("path", ["/api/embeddings", "/api/embed", "/v1/embeddings"])
async def test_10_embeddings_of_a_prompt_are_one_vector_and_their_tags_are_kept(path: str) -> None:
    async with FakeOllama(FakeModel("m:latest", loaded=True)) as fake, running_router() as router:
        await router.join("a", fake, loaded("m:latest", modality="embed"), operations=("embed",))
        told = {"input": "x"} if path.startswith("/v1") else {"prompt": "x"}
        answer = await router.http.post(path, json={"model": "m", **told}, headers={"X-Herd-Tags": "search"})
        assert answer.status_code == 200
        said = answer.json()
        vectors = [row["embedding"] for row in said["data"]] if path.startswith("/v1") else said["embeddings"]
        assert vectors == [vector_of("x")]
        assert said.get("embedding") == (vector_of("x") if path == "/api/embeddings" else None)
        [trace] = await router.traces(tag="search")
        assert (trace["modality"], trace["tags"]) == ("embed", ["search"])


async def test_11_a_whole_answer_keeps_the_text_of_generate_and_the_tool_calls_and_thoughts_of_a_chat() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        answer = await router.http.post("/api/generate", json={"model": MODEL, "prompt": "Hi", "stream": False})
        assert answer.json()["response"] == "Hello from fake"
        call = {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}
        message = {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]}
        fake.script("/api/chat", replying({"model": MODEL, "message": message, "done": True, "done_reason": "stop"}))
        answer = await router.http.post("/api/chat", json={**BODY, "stream": False})
        assert answer.json()["message"] == message


async def test_12_every_field_of_openais_dialect_reaches_the_engine_also_a_temperature_that_is_a_default() -> None:
    fields: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "stop": ["x"], "seed": 7,
        "top_p": 0.9, "response_format": {"type": "json_object"}, "max_completion_tokens": 9, "temperature": 0.7,
    }  # fmt: skip
    async with FakeOllama(FakeModel(MODEL, capabilities=("completion", "tools"))) as fake, running_router() as router:
        await router.join("a", fake)
        chat = {"model": MODEL, "messages": BODY["messages"], **fields}
        assert (await router.http.post("/v1/chat/completions", json=chat)).status_code == 200
        sent = fake.asked("/v1/chat/completions")[0].json()
        assert {name: sent[name] for name in fields} == fields


async def test_13_a_model_named_without_its_tag_is_not_told_to_be_a_fallback() -> None:
    async with FakeOllama(FakeModel("llama3:latest")) as fake, running_router() as router:
        await router.join("a", fake, loaded("llama3:latest"))
        answer = await router.http.post("/api/chat", json={**BODY, "model": "llama3"})
        assert answer.status_code == 200
        assert "x-fleet-fallback" not in answer.headers


async def test_14_a_node_can_neither_bring_markup_in_its_name_nor_make_the_router_call_a_foreign_host() -> None:
    async with FakeOllama() as fake, running_router() as router:
        letter = {"node_id": "<img src=x onerror=alert(1)>", "engines": []}
        assert (await router.http.post("/heartbeat", json=letter)).status_code == 400
        assert (await router.http.get("/fleet/status")).json()["nodes"] == []
        report = EngineReport(
            name="e", kind="ollama", operations=("chat",), dialects=("ollama",), port=fake.port, reach="lan",
            models=(loaded(),),
        )  # fmt: skip
        await router.beat(Heartbeat(node_id="a", engines=(report,), advertise_host="203.0.113.9"))
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 200
        assert fake.asked("/api/chat")  # at the address the heartbeat came from


def test_15_variables_take_effect_without_a_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    routers: list[Settings] = []
    nodes: list[NodeSettings] = []
    monkeypatch.setattr(cli, "_start", lambda settings, _: routers.append(settings))
    monkeypatch.setattr("node.start.start", nodes.append)
    told = {
        "FLEET_PORT": "18000", "FLEET_HOST": "127.0.0.1", "FLEET_DATA_DIR": str(tmp_path),
        "FLEET_PRE_WARM_THRESHOLD": "7", "FLEET_NODE_ROUTER_URL": "http://10.0.0.1:18000",
        "FLEET_NODE_NODE_ID": "den", "FLEET_NODE_OLLAMA_HOST": "http://10.0.0.2:11434",
    }  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    cli.build()([], exit_on_error=False, print_error=False, result_action="return_value")
    node_cli.build("node")([], exit_on_error=False, print_error=False, result_action="return_value")
    [router], [node] = routers, nodes
    assert (router.server.port, router.server.host, router.queue.pre_warm_threshold) == (18000, "127.0.0.1", 7)
    assert router.data_dir == tmp_path
    assert (node.router_url, node.node_id) == ("http://10.0.0.1:18000", "den")
    assert node.ollama_host == "http://10.0.0.2:11434"


async def test_16_a_model_whose_only_engine_is_down_is_503_and_nobody_else_pulls_it() -> None:
    async with FakeOllama() as down, FakeOllama() as other, running_router(hold_timeout=0.2) as router:
        await router.join("a", down, healthy=False)
        await router.join("b", other, loaded("another:1"), operations=("chat", "generate", "pull"))
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert not other.asked("/api/pull")


async def test_17_a_drained_nodes_stream_finishes_and_what_waits_runs_elsewhere() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        more = asyncio.Event()
        a.script("/api/chat", streaming(LINE, more, LINE, LAST))
        await router.join("a", a)
        long = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(in_flight=1)
        waiting = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(3)]
        await router.until(pending=3)
        await router.http.post("/fleet/nodes/a/drain", headers=router.admin)
        await router.join("b", b)
        assert {(await call).headers["x-fleet-node"] for call in waiting} == {"b"}
        more.set()
        assert (await long).text.encode() == LINE + LINE + LAST
        await router.until(completed=4, failed=0, queue_depth=0)


async def test_18_changing_one_models_context_keeps_the_others(tmp_path: Path) -> None:
    migrate(tmp_path)
    store = await Store.open(tmp_path)
    try:
        book = Book(Settings(modalities=found()), {})
        await book.change(store, "llm", "num_ctx_overrides", {"a:1": 4096, "b:1": 8192}, "test")
        await book.change(store, "llm", "num_ctx_overrides", {"b:1": 16384}, "test")
        assert book.settings.modalities["llm"].num_ctx_overrides == {"a:1": 4096, "b:1": 16384}
    finally:
        await store.aclose()
