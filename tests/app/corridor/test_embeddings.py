"""Embeddings over real sockets: both dialects, a lane of their own, mistakes, tags and traces."""

import asyncio
import json
import re
import shlex
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama, packed, vector_of
from fakes.scripted import failing
from running import RunningRouter, loaded, running_router

from node.wire import ModelReport

MODEL = "all-minilm"
ENDPOINTS = ["/api/embed", "/api/embeddings", "/v1/embeddings"]


def minilm(**more: Any) -> ModelReport:
    return loaded(MODEL + ":latest", **{"modality": "embed", "capabilities": ("embedding",), **more})


def ollama() -> FakeOllama:
    return FakeOllama(FakeModel(MODEL + ":latest", loaded=True, capabilities=("embedding",)))


def llama() -> FakeLlama:
    fake = FakeLlama(FakeModel(MODEL + ":latest", loaded=True))
    fake.embeddings = True
    return fake


async def join(router: RunningRouter, node_id: str, fake: FakeOllama, *models: ModelReport, **more: Any) -> None:
    kind = "openai" if isinstance(fake, FakeLlama) else "ollama"
    await router.join(node_id, fake, *(models or (minilm(),)), kind=kind, operations=("embed",), **more)


def vectors(endpoint: str, answer: Any) -> list[list[float]]:
    if endpoint == "/v1/embeddings":
        assert [row["index"] for row in answer["data"]] == list(range(len(answer["data"])))
        return [row["embedding"] for row in answer["data"]]
    return list(answer["embeddings"])


@pytest.mark.parametrize("make", [ollama, llama])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_texts_become_vectors_whichever_dialect_the_engine_speaks(endpoint: str, make: Any) -> None:
    async with make() as fake, running_router() as router:
        await join(router, "a", fake)
        for told in ("one", ["one", "two"]):
            answer = await router.http.post(endpoint, json={"model": MODEL, "input": told})
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-fleet-node"] == "a"
            texts = [told] if isinstance(told, str) else told
            assert vectors(endpoint, answer.json()) == [vector_of(text) for text in texts]


async def test_openais_python_client_gets_base64_as_it_asks_for() -> None:
    async with llama() as fake, running_router() as router:
        await join(router, "a", fake)
        body = {"model": MODEL, "input": ["one"], "encoding_format": "base64"}
        answer = (await router.http.post("/v1/embeddings", json=body)).json()
        assert answer["data"][0]["embedding"] == packed(vector_of("one"))
        assert answer["usage"] == {"prompt_tokens": 1, "total_tokens": 1}


@pytest.mark.parametrize("make", [ollama, llama])
async def test_the_trace_of_embeddings_has_model_cost_and_tags(make: Any) -> None:
    async with make() as fake, running_router() as router:
        await join(router, "a", fake)
        body = {"model": MODEL, "input": ["one", "two"], "metadata": {"tags": ["x"]}, "user": "eve"}
        answer = await router.http.post("/api/embed", json=body, headers={"X-Herd-Tags": "y"})
        assert answer.json()["prompt_eval_count"] == 2
        [trace] = await router.traces()
        assert (trace["modality"], trace["endpoint"], trace["status"]) == ("embed", "/api/embed", "completed")
        assert (trace["prompt_tokens"], trace["tags"]) == (2, ["x", "y", "user:eve"])
        assert (trace["original_model"], trace["node_id"], trace["request_id"]) == (
            MODEL, "a", answer.headers["x-request-id"],
        )  # fmt: skip
        sent = next(request for request in fake.requests if request.method == "POST").json()
        assert not {"metadata", "user"} & sent.keys()


async def test_embeddings_do_not_wait_behind_what_a_node_generates() -> None:
    """The chat model's only slot is taken and a line stands before it; vectors of the same node come at once."""
    chat = FakeModel("chat:1b", loaded=True)
    async with FakeOllama(chat, FakeModel(MODEL + ":latest", loaded=True)) as fake, running_router() as router:
        await router.join("a", fake, loaded("chat:1b"), minilm(), operations=("chat", "embed"))
        long = asyncio.Event()
        fake.hold = long
        body = {"model": "chat:1b", "messages": [{"role": "user", "content": "Hi"}]}
        chats = [asyncio.ensure_future(router.http.post("/api/chat", json=body)) for _ in range(4)]
        await router.until(in_flight=1, pending=3)
        fake.hold = None
        for _ in range(5):
            answer = await router.http.post("/api/embed", json={"model": MODEL, "input": "one"})
            assert answer.status_code == 200
            assert answer.headers["x-fleet-score"] == "70"  # the line of another model costs it nothing
        assert not any(call.done() for call in chats)
        long.set()
        await asyncio.gather(*chats)


MISTAKES: list[Any] = [
    {"input": "x"}, {"model": MODEL}, {"model": MODEL, "input": ""}, {"model": MODEL, "input": []},
    {"model": MODEL, "input": 5}, {"model": MODEL, "input": [None]}, {"model": 5, "input": "x"}, [1], "x", None,
    {"model": MODEL, "input": ["x"] * 20_001}, {"model": MODEL, "input": "x", "dimensions": "many"},
]  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_mistake_is_told_in_the_callers_dialect_and_reaches_no_engine(endpoint: str) -> None:
    async with ollama() as fake, running_router() as router:
        await join(router, "a", fake)
        for body in [*(json.dumps(mistake).encode() for mistake in MISTAKES), b"", b"{", b"\xff"]:
            answer = await router.http.post(endpoint, content=body)
            assert answer.status_code == 400, (body[:80], answer.text)
            error = answer.json()["error"]
            assert isinstance(error["message"] if endpoint.startswith("/v1") else error, str)
        assert not [request for request in fake.requests if request.method == "POST"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_an_unknown_model_is_not_found(endpoint: str) -> None:
    async with ollama() as fake, running_router() as router:
        await join(router, "a", fake)
        answer = await router.http.post(endpoint, json={"model": "nobody-has-this", "input": "x"})
        assert answer.status_code == 404
        assert "nobody-has-this" in answer.text


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_model_that_makes_no_vectors_is_told_so_at_once(endpoint: str) -> None:
    async with llama() as fake, running_router() as router:
        await router.join("a", fake, loaded("chat:1b"), kind="openai", operations=("chat", "generate"))
        answer = await router.http.post(endpoint, json={"model": "chat:1b", "input": "x"})
        assert answer.status_code == 400
        assert "does not serve embed" in answer.text


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_text_that_is_too_long_is_the_clients_error_and_is_asked_once(endpoint: str) -> None:
    """llama.cpp says so with a 500."""
    async with llama() as first, llama() as second, running_router() as router:
        await join(router, "a", first)
        await join(router, "b", second)
        body = {"model": MODEL, "input": ["fine", "word " * 513]}
        answer = await router.http.post(endpoint, json=body)
        assert answer.status_code == 400
        assert "513 tokens" in answer.text
        assert len(first.asked("/v1/embeddings") + second.asked("/v1/embeddings")) == 1
        assert [trace["status"] for trace in await router.traces()] == ["failed"]


async def test_an_engine_that_fails_is_made_good_by_another() -> None:
    async with ollama() as first, llama() as second, running_router() as router:
        await join(router, "a", first)
        await join(router, "b", second)
        for fake, path in ((first, "/api/embed"), (second, "/v1/embeddings")):
            fake.script(path, failing(500), times=1)
        answers = [await router.http.post("/api/embed", json={"model": MODEL, "input": "one"}) for _ in range(3)]
        assert {answer.status_code for answer in answers} <= {200, 502}
        assert answers[-1].json()["embeddings"] == [vector_of("one")]
        await router.until(in_flight=0)


def curls() -> list[str]:
    """The commands of the page about embeddings, as they are printed there."""
    page = (Path(__file__).parents[3] / "docs" / "embeddings.md").read_text("utf-8")
    return [line.replace("\\\n", " ") for line in re.findall(r"^curl (?:.*\\\n)*.*$", page, re.MULTILINE)]


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_commands_of_the_page_work_letter_by_letter() -> None:
    models = [FakeModel(name + ":latest", loaded=True) for name in ("nomic-embed-text", "all-minilm")]
    async with FakeOllama(*models) as fake, running_router() as router:
        names = [loaded(model.name, modality="embed") for model in models]
        await router.join("a", fake, *names, operations=("embed",))
        commands = curls()
        assert len(commands) >= 4
        for command in commands:
            words = shlex.split(command.replace("http://ROUTER:11435", router.url))
            process = await asyncio.create_subprocess_exec(*words, "--silent", stdout=asyncio.subprocess.PIPE)
            said, _ = await process.communicate()
            assert b"embedding" in said, (command, said)


async def test_a_client_that_leaves_ends_the_engines_work() -> None:
    async with ollama() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.hold = asyncio.Event()
        body = json.dumps({"model": MODEL, "input": "one"}).encode()
        host, port = router.url.removeprefix("http://").split(":")
        client = socket.create_connection((host, int(port)))
        client.sendall(b"POST /api/embed HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await router.until(in_flight=1)
        client.close()
        await fake.closed.wait(1)
        await router.until(in_flight=0)
        assert [trace["status"] for trace in await router.traces()] == ["client_disconnected"]
