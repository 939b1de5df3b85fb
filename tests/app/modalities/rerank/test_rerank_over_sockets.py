"""Reranking through a whole router over sockets: what clients get, what engines get, and what is written down."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fakes.fake_llama import FakeLlama
from fakes.scripted import failing
from running import RunningRouter, loaded, running_router

MODEL = "bge-reranker"
DOCUMENTS = ["rain and snow", "the panda bear", "panda"]
ASKED: dict[str, Any] = {"model": MODEL, "query": "panda bear", "documents": DOCUMENTS}
PATHS = ["/v1/rerank", "/v2/rerank"]


@asynccontextmanager
async def fleet(*nodes: str, **settings: Any) -> AsyncIterator[tuple[RunningRouter, dict[str, FakeLlama]]]:
    """A router and a node with a reranker for each name."""
    async with running_router(**settings) as router:
        fakes = {name: FakeLlama() for name in nodes}
        try:
            for name, fake in fakes.items():
                fake.reranks = True
                await fake.__aenter__()
                await joined(router, name, fake)
            yield router, fakes
        finally:
            for fake in fakes.values():
                await fake.__aexit__(None, None, None)


async def joined(router: RunningRouter, name: str, fake: FakeLlama, **more: Any) -> None:
    model = loaded(MODEL, modality="rerank", **more)
    await router.join(name, fake, model, kind="openai", operations=("rerank",))


@pytest.mark.parametrize("path", PATHS)
async def test_documents_come_back_best_first_with_their_places_in_the_request(path: str) -> None:
    async with fleet("ash") as (router, fakes):
        answer = await router.http.post(path, json=ASKED)
        assert answer.status_code == 200
        told = answer.json()
        assert [result["index"] for result in told["results"]] == [2, 1, 0]
        assert [result["relevance_score"] for result in told["results"]] == [1.0, pytest.approx(2 / 3), 0.0]
        assert told["model"] == MODEL
        assert told["usage"] == {"prompt_tokens": 27, "total_tokens": 27}
        assert answer.headers["x-fleet-node"] == "ash"
        assert answer.headers["x-fleet-served-model"] == MODEL
        assert "x-fleet-fallback" not in answer.headers
        assert fakes["ash"].requests[-1].path == "/v1/rerank"


async def test_documents_may_be_objects_and_come_back_when_they_are_wanted() -> None:
    async with fleet("ash") as (router, fakes):
        documents = [{"text": "rain", "title": "a"}, "panda bear", {"text": "panda"}]
        body = {**ASKED, "documents": documents, "top_n": 2, "return_documents": True, "truncate_prompt_tokens": 99}
        told = (await router.http.post("/v1/rerank", json=body)).json()
        assert [(one["index"], one["document"]["text"]) for one in told["results"]] == [(1, "panda bear"), (2, "panda")]
        sent = fakes["ash"].requests[-1].json()
        assert sent == {**ASKED, "documents": ["rain", "panda bear", "panda"], "truncate_prompt_tokens": 99}


async def test_a_request_is_traced_with_its_tags() -> None:
    async with fleet("ash") as (router, _):
        body = {**ASKED, "user": "eve", "metadata": {"tags": ["search"]}, "fallback_models": ["other"]}
        answer = await router.http.post("/v1/rerank", json=body, headers={"X-Herd-Tags": "batch"})
        [trace] = await router.traces(tag="search")
        assert trace["request_id"] == answer.headers["x-request-id"] == answer.json()["id"]
        assert set(trace["tags"]) == {"search", "batch", "user:eve"}
        assert (trace["modality"], trace["endpoint"], trace["status"]) == ("rerank", "/v1/rerank", "completed")
        assert (trace["prompt_tokens"], trace["policy"]) == (27, "rerank")


async def test_the_queue_and_explain_know_the_kind_of_work() -> None:
    async with fleet("ash") as (router, _):
        await router.http.post("/v1/rerank", json=ASKED)
        status = (await router.http.get("/fleet/status")).json()
        assert status["queues"][f"ash:{MODEL}"]["request_type"] == "rerank"
        explained = (await router.http.get("/fleet/explain", params={"model": MODEL})).json()
        assert (explained["policy"], explained["chosen"]) == ("rerank", "ash")


BAD: dict[str, Any] = {
    "no model": {"query": "q", "documents": ["d"]},
    "no query": {"model": MODEL, "documents": ["d"]},
    "an empty query": {**ASKED, "query": ""},
    "a query of another kind": {**ASKED, "query": {"image": "x"}},
    "no documents": {"model": MODEL, "query": "q"},
    "an empty list": {**ASKED, "documents": []},
    "one text": {**ASKED, "documents": "panda"},
    "a number": {**ASKED, "documents": ["panda", 5]},
    "an object without a text": {**ASKED, "documents": [{"title": "panda"}]},
    "the best none": {**ASKED, "top_n": 0},
    "half a document": {**ASKED, "top_n": 1.5},
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_cannot_be_served_is_the_clients_error(path: str) -> None:
    async with fleet("ash") as (router, fakes):
        for name, body in BAD.items():
            answer = await router.http.post(path, json=body)
            assert answer.status_code == 400, name
            assert answer.json()["error"]["type"] == "invalid_request_error", name
        for raw in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"model": "\xff"}',
            b'{"model":"m","query":"\\ud800","documents":["x"]}',
        ):
            assert (await router.http.post(path, content=raw)).status_code in (400, 404), raw
        assert not [request for request in fakes["ash"].requests if request.method == "POST"]


async def test_a_body_over_the_limit_is_413() -> None:
    async with fleet("ash", server={"body_max_bytes": 1024}) as (router, _):
        answer = await router.http.post("/v2/rerank", json={**ASKED, "documents": ["x" * 2000]})
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_model_that_nobody_has_is_404_and_is_not_pulled() -> None:
    async with fleet("ash") as (router, _):
        for name in ("nobody-has-this", "llama3.2:3b"):  # the second one is in a catalogue: that of chat models
            answer = await router.http.post("/v1/rerank", json={**ASKED, "model": name})
            assert answer.status_code == 404
            error = answer.json()["error"]
            assert error["type"] == "model_not_found"
            assert "pull" not in error["message"]


async def test_a_model_for_other_work_is_refused_at_once_with_the_reason() -> None:
    async with fleet("ash") as (router, fakes):
        await router.join("birch", fakes["ash"], loaded("smollm2:135m"), kind="openai")
        answer = await router.http.post("/v1/rerank", json={**ASKED, "model": "smollm2:135m"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "wrong_modality"
        assert answer.json()["error"]["message"] == "smollm2:135m: is a model for llm, not for rerank"


async def test_a_pair_that_no_context_holds_is_refused_at_once() -> None:
    async with fleet("ash") as (router, fakes):
        await joined(router, "ash", fakes["ash"], context_length=100)
        assert (await router.http.post("/v1/rerank", json={**ASKED, "documents": ["panda"] * 500})).status_code == 200
        answer = await router.http.post("/v1/rerank", json={**ASKED, "documents": ["panda", "x" * 900]})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"


GARBAGE = {
    "not JSON": b"panda",
    "no list": b"{}",
    "a score too few": b'{"results": [{"index": 0, "relevance_score": 1}]}',
    "a document of its own": b'{"results": [{"index": 3, "relevance_score": 1}]}',
    "no number": b'{"results": [{"index": 0, "relevance_score": null}]}',
    "an error": b'{"error": {"message": "out of memory"}}',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_scores_that_are_none_send_the_request_to_another_node(garbage: bytes) -> None:
    async with fleet("ash", "birch") as (router, fakes):
        for fake in fakes.values():
            fake.script("/v1/rerank", failing(200, garbage), times=1)
        first = await router.http.post("/v1/rerank", json=ASKED)
        assert first.status_code == 502  # both were asked once
        assert first.json()["error"]["type"] == "node_failed"
        fakes["ash"].script("/v1/rerank", failing(500, b'{"error": {"message": "broken"}}'), times=None)
        second = await router.http.post("/v1/rerank", json=ASKED)
        assert second.status_code == 200
        assert second.headers["x-fleet-node"] == "birch"


async def test_an_engines_own_refusal_goes_on_as_it_is() -> None:
    async with fleet("ash") as (router, fakes):
        body = b'{"error":{"code":400,"message":"input is larger than the max context size","type":"exceed"}}'
        fakes["ash"].script("/v1/rerank", failing(400, body))
        answer = await router.http.post("/v2/rerank", json=ASKED)
        assert (answer.status_code, answer.content) == (400, body)


async def test_a_text_too_long_for_an_engines_batch_is_the_clients_error_and_not_held_against_the_engine() -> None:
    async with fleet("ash") as (router, fakes):
        told = "input (603 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
        body = json.dumps({"error": {"code": 500, "message": told, "type": "server_error"}}).encode()
        fakes["ash"].script("/v1/rerank", failing(500, body), times=4)
        for _ in range(4):
            answer = await router.http.post("/v1/rerank", json=ASKED)
            assert (answer.status_code, answer.json()["error"]["message"]) == (400, told)
        assert (await router.http.post("/v1/rerank", json=ASKED)).status_code == 200


async def test_a_page_elsewhere_that_is_listed_may_rerank_at_both_doors() -> None:
    async with fleet("ash", server={"origins": "https://app.example"}) as (router, _):
        for path in PATHS:
            heads = {"Origin": "https://app.example"}
            answer: httpx.Response = await router.http.post(path, json=ASKED, headers=heads)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert (await router.http.post(path, json=ASKED, headers={"Origin": "https://e.x"})).status_code == 403


async def test_a_chat_with_a_reranker_is_refused_at_once_instead_of_waiting_for_what_never_comes() -> None:
    async with fleet("ash") as (router, _):
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
        answer = await router.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "operation_missing"
