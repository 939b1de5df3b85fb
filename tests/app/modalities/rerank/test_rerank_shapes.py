"""Whatever comes from a client is a job or the client's error; whatever comes from an engine is scores or a refusal."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotServed, RequestError
from app.fleet.job import Route
from app.modalities.caller import Caller
from app.modalities.rerank import adapter
from node.wire import ModelReport

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("m") | JSON,
        "query": st.text() | JSON,
        "documents": st.lists(st.text() | st.fixed_dictionaries({"text": st.text()})) | JSON,
        "top_n": st.integers() | JSON,
        "return_documents": st.booleans() | JSON,
        "metadata": JSON,
        "user": JSON,
        "of_tomorrow": JSON,
    },
)


def route(*dialects: str) -> Route:
    model = ModelReport(name="engine's-own", modality="rerank")
    return Route(node_id="ash", url="", engine="e", engine_kind="openai", dialects=dialects, model=model)


def job(body: bytes) -> Any:
    return adapter.job("/v1/rerank", body, request_id="r", caller=Caller())


@given(FIELDS.map(json.dumps).map(str.encode) | st.binary())
def test_any_body_is_a_call_or_the_clients_error(body: bytes) -> None:
    try:
        call = job(body).prepare(route("openai"))
    except RequestError:
        return
    sent, told = msgspec.json.decode(call.body), msgspec.json.decode(body)
    assert sent["model"] == "engine's-own"
    assert [one if isinstance(one, str) else one["text"] for one in told["documents"]] == sent["documents"]
    kept = told.keys() - {"top_n", "return_documents", "metadata", "user"}
    assert sent.keys() == kept
    assert sent.get("of_tomorrow") == told.get("of_tomorrow")


SCORES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30)


@given(SCORES, st.none() | st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_best_come_first_whatever_order_the_engine_has(scores: list[float], top_n: int | None, random: Any) -> None:
    body = {"model": "m", "query": "q", "documents": [str(n) for n in range(len(scores))], "top_n": top_n}
    meter = job(json.dumps({**body, "return_documents": True}).encode()).prepare(route("openai")).meter
    rows = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    random.shuffle(rows)
    meter.feed(json.dumps({"results": rows}).encode())
    results = json.loads(meter.finish())["results"]
    assert meter.complete
    assert [one["relevance_score"] for one in results] == sorted(scores, reverse=True)[: top_n or len(scores)]
    assert all(scores[one["index"]] == one["relevance_score"] for one in results)
    assert all(one["document"] == {"text": str(one["index"])} for one in results)


@given(JSON.map(json.dumps).map(str.encode) | st.binary())
def test_an_answer_of_any_other_kind_is_refused(answer: bytes) -> None:
    meter = job(b'{"model": "m", "query": "q", "documents": ["a", "b"]}').prepare(route("openai")).meter
    assert meter.feed(answer) == b""
    assert meter.finish() == b""
    assert meter.refusal
    assert not meter.complete


def test_an_engine_without_that_api_is_not_asked() -> None:
    with pytest.raises(NotServed):
        job(b'{"model": "m", "query": "q", "documents": ["a"]}').prepare(route("ollama"))
