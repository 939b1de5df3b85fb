"""What a body of embeddings becomes: a demand, a call for each kind of engine, or the client's error."""

import base64
import json
import struct
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BodyInvalid, ModelMissing, NotServed, RequestError
from app.fleet.job import Call, Job, Route
from app.modalities.caller import Caller
from app.modalities.embed import adapter
from app.modalities.embed.settings import Embedding
from node.wire import ModelReport

ENDPOINTS = ["/api/embed", "/api/embeddings", "/v1/embeddings"]
OLLAMA = [[0.5, 0.25], [0.125, 1.0]]


def job(endpoint: str, body: Any, **more: Any) -> Job:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return adapter.job(endpoint, raw, request_id="r", timer=lambda: 1.0, **more)


def route(name: str = "m", kind: str = "ollama", dialects: tuple[str, ...] = ("ollama", "openai")) -> Route:
    return Route(
        node_id="n", url="http://n", engine="e", engine_kind=kind, dialects=dialects, model=ModelReport(name=name)
    )


LLAMA = route(kind="openai", dialects=("openai",))
OLD = route(kind="ollama", dialects=("ollama",))


def ollama_answer(*vectors: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "embeddings": list(vectors), "prompt_eval_count": 7, **more}).encode()


def openai_answer(*vectors: Any) -> bytes:
    rows = [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(vectors)]
    return json.dumps({"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 7}}).encode()


def answered(call: Call, body: bytes) -> Any:
    out = call.meter.feed(body) + call.meter.finish()
    assert call.meter.complete, call.meter.refusal
    return json.loads(out)


def sent(call: Call) -> Any:
    return json.loads(call.body)


def test_a_model_is_never_stood_in_for() -> None:
    body = {"model": "m", "input": "x", "fallback_models": ["other"]}
    for endpoint in ENDPOINTS:
        made = job(endpoint, body)
        assert made.demand.models == ("m",)
        assert not made.demand.substitutes
        assert "fallback_models" not in sent(made.prepare(route()))


def test_openais_body_goes_on_as_the_very_same_bytes_and_so_does_the_answer() -> None:
    body = b'{ "model":"m","input" : ["a","b"],"encoding_format":"float","a_field_of_tomorrow":[1,  2]}'
    for way in (route(), LLAMA):
        call = job("/v1/embeddings", body).prepare(way)
        assert (call.path, call.body) == ("/v1/embeddings", body)
        answer = openai_answer(*OLLAMA)
        assert call.meter.feed(answer[:9]) + call.meter.feed(answer[9:]) + call.meter.finish() == answer
        assert call.meter.usage.prompt_tokens == 7


def test_ollamas_body_is_changed_by_what_keeps_the_model_only() -> None:
    body = {"model": "m", "input": "x", "truncate": False, "options": {"num_ctx": 512}, "dimensions": 2}
    call = job("/api/embed", body).prepare(route())
    assert (call.path, sent(call)) == ("/api/embed", {**body, "keep_alive": -1})
    assert call.notes == ("keep_alive.set",)
    answer = ollama_answer([0.5, 0.25], load_duration=2_000_000_000)
    assert call.meter.feed(answer) + call.meter.finish() == answer
    assert (call.meter.usage.prompt_tokens, call.meter.usage.load_s) == (7, 2.0)


def test_a_client_that_says_how_long_a_model_stays_is_heard() -> None:
    body = b'{"model":"m","input":"x","keep_alive":"5m"}'
    assert job("/api/embed", body).prepare(route()).body == body


def test_a_model_that_shall_leave_is_known_to_be_gone() -> None:
    for keep_alive, leaves in ((0, True), ("0s", True), (-1, False), ("5m", False)):
        made = job("/api/embed", {"model": "m", "input": "x", "keep_alive": keep_alive})
        assert made.prepare(route()).unloads == leaves
        assert not made.prepare(LLAMA).unloads


def test_in_openais_dialect_a_model_is_kept_beside_the_request() -> None:
    assert job("/v1/embeddings", {"model": "m", "input": "x"}).prepare(route()).keeps
    assert not job("/v1/embeddings", {"model": "m", "input": "x"}).prepare(LLAMA).keeps
    assert not job("/api/embed", {"model": "m", "input": "x"}).prepare(route()).keeps


@pytest.mark.parametrize("endpoint", ["/api/embed", "/api/embeddings"])
@pytest.mark.parametrize("way", [route(), LLAMA])
def test_an_old_prompt_is_an_input_and_has_its_one_vector(endpoint: str, way: Route) -> None:
    call = job(endpoint, {"model": "m", "prompt": "x"}).prepare(way)
    assert sent(call)["input"] == "x"
    assert "prompt" not in sent(call)
    own = ollama_answer([0.5]) if call.path == "/api/embed" else openai_answer([0.5])
    answer = answered(call, own)
    assert answer["embeddings"] == [[0.5]]
    assert answer.get("embedding") == ([0.5] if endpoint == "/api/embeddings" else None)
    assert answer["prompt_eval_count"] == 7


def test_the_old_door_answers_a_list_as_the_new_one_does() -> None:
    call = job("/api/embeddings", {"model": "m", "input": ["a", "b"]}).prepare(route())
    assert call.path == "/api/embed"
    assert answered(call, ollama_answer(*OLLAMA)) == json.loads(ollama_answer(*OLLAMA))


def test_ollamas_words_become_openais_for_an_engine_that_speaks_only_that() -> None:
    body = {"model": "m", "input": ["a", "b"], "truncate": True, "options": {}, "keep_alive": 0, "metadata": {}}
    call = job("/api/embed", body).prepare(LLAMA)
    assert (call.path, sent(call)) == ("/v1/embeddings", {"model": "m", "input": ["a", "b"]})
    assert call.notes == ("dialect.translated", "fields.dropped truncate, keep_alive, options")
    answer = answered(call, openai_answer(*OLLAMA))
    assert answer == {
        "model": "m", "embeddings": OLLAMA, "total_duration": 0, "load_duration": 0, "prompt_eval_count": 7,
    }  # fmt: skip


def test_openais_words_become_ollamas_for_an_engine_that_speaks_only_that() -> None:
    call = job("/v1/embeddings", {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}).prepare(OLD)
    assert (call.path, sent(call)) == ("/api/embed", {"model": "m", "input": ["a", "b"], "keep_alive": -1})
    answer = answered(call, ollama_answer(*OLLAMA))
    assert [row["index"] for row in answer["data"]] == [0, 1]
    vectors = [list(struct.unpack("<2f", base64.b64decode(row["embedding"]))) for row in answer["data"]]
    assert vectors == OLLAMA
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_an_engine_that_speaks_neither_is_not_asked() -> None:
    with pytest.raises(NotServed):
        job("/api/embed", {"model": "m", "input": "x"}).prepare(route(dialects=("anthropic",)))


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("engine_obeys", [False, True])
def test_a_vector_that_is_longer_than_asked_for_is_cut_and_has_length_1_again(
    encoding: str, engine_obeys: bool
) -> None:
    body = {"model": "m", "input": "x", "dimensions": 2, "encoding_format": encoding}
    call = job("/v1/embeddings", body).prepare(LLAMA)
    own = [0.6, 0.8] if engine_obeys else [3.0, 4.0, 12.0]
    [row] = answered(call, openai_answer(own))["data"]
    vector = row["embedding"]
    if encoding == "base64":
        vector = struct.unpack("<2f", base64.b64decode(vector))
    assert vector == pytest.approx([0.6, 0.8])


def test_a_vector_in_the_wrong_writing_is_written_anew() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, 0.25)).decode()
    for wanted, own, made in (("float", packed, [0.5, 0.25]), ("base64", [0.5, 0.25], packed)):
        call = job("/v1/embeddings", {"model": "m", "input": "x", "encoding_format": wanted}).prepare(LLAMA)
        assert answered(call, openai_answer(own))["data"][0]["embedding"] == made


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_go_to_engines_that_take_them(tokens: Any) -> None:
    body = {"model": "m", "input": tokens}
    assert sent(job("/v1/embeddings", body).prepare(LLAMA))["input"] == tokens
    with pytest.raises(RequestError, match="text only"):
        job("/v1/embeddings", body).prepare(route())
    for endpoint in ("/api/embed", "/api/embeddings"):
        with pytest.raises(BodyInvalid):
            job(endpoint, body)


def test_another_spelling_of_the_name_is_told_to_engines_that_know_one_only() -> None:
    body = {"model": "all-minilm", "input": "x"}
    assert sent(job("/v1/embeddings", body).prepare(route("all-minilm:latest")))["model"] == "all-minilm"
    call = job("/v1/embeddings", body).prepare(route("all-minilm:latest", "openai", ("openai",)))
    assert sent(call)["model"] == "all-minilm:latest"
    assert "model.renamed" in call.notes


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"error":"out of memory"}', b'{"error":{"message":"out of memory"}}',
     b'{"data":[]}', b'{"data":[{"embedding":[1]},{"embedding":[2]}]}', b'{"data":[{"index":0}]}', b"\xff",
     b'{"data":[{"embedding":{"a":1}}]}', b'{"data":[{"embedding":"?"}]}', b'{"data":[{"embedding":null}]}'],
)  # fmt: skip
def test_an_answer_that_is_none_sends_the_request_elsewhere(answer: bytes) -> None:
    for endpoint in ENDPOINTS:
        call = job(endpoint, {"model": "m", "input": "x", "dimensions": 9}).prepare(LLAMA)
        assert call.meter.feed(answer) + call.meter.finish() == b""
        assert call.meter.refusal
        assert not call.meter.complete
        if b"memory" in answer:
            assert call.meter.refusal == "out of memory"


MISTAKES: dict[str, Any] = {
    "no model": {"input": "x"}, "model is a number": {"model": 5, "input": "x"}, "no input": {"model": "m"},
    "null": {"model": "m", "input": None}, "empty": {"model": "m", "input": ""},
    "empty list": {"model": "m", "input": []},
    "a number": {"model": "m", "input": 5}, "an object": {"model": "m", "input": {"a": 1}},
    "a list of null": {"model": "m", "input": [None]}, "several kinds": {"model": "m", "input": ["a", 1]},
    "texts and tokens": {"model": "m", "input": ["a", [1]]}, "no tokens": {"model": "m", "input": [[1], []]},
    "too deep": {"model": "m", "input": [["a"]]}, "negative": {"model": "m", "input": [[-1]]},
    "half": {"model": "m", "input": [[0.5]]}, "true": {"model": "m", "input": [True]},
    "no dimension": {"model": "m", "input": "x", "dimensions": 0},
    "dimensions": {"model": "m", "input": "x", "dimensions": "9"},
    "encoding": {"model": "m", "input": "x", "encoding_format": "int8"},
    "too many": {"model": "m", "input": ["x"] * 11},
    "no object": [1], "no json": b'{"model":', "nothing": b"", "no utf-8": b'{"model": "m", "input": "\xff"}',
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_mistake_is_the_clients_error(endpoint: str, mistake: str) -> None:
    with pytest.raises(RequestError) as caught:
        job(endpoint, MISTAKES[mistake], settings=Embedding(embed_inputs_max=10))
    assert caught.value.status == 400
    assert isinstance(caught.value, ModelMissing) == (mistake == "no model")


WORDS = [
    b"null",
    b"true",
    b"5",
    b"-1",
    b"1e400",
    b'""',
    b'"x"',
    b"[]",
    b"[[]]",
    b"[5]",
    b"{}",
    b'["\\ud800"]',
    b"9" * 400,
]


@given(
    st.sampled_from(ENDPOINTS),
    st.dictionaries(
        st.sampled_from(["model", "input", "prompt", "dimensions", "encoding_format", "metadata", "user", "options"]),
        st.sampled_from(WORDS),
    ),
)
def test_any_body_becomes_a_call_or_the_clients_error(endpoint: str, fields: dict[str, bytes]) -> None:
    body = b",".join(b'"%s":%s' % (key.encode(), value) for key, value in fields.items())
    for way in (route(), LLAMA, OLD):
        with suppress(RequestError, NotServed):
            json.loads(job(endpoint, b"{" + body + b"}").prepare(way).body)


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), min_size=2, max_size=40), st.data())
def test_parts_joined_are_the_answer_to_the_whole(vectors: list[list[float]], data: st.DataObject) -> None:
    """Whatever the cuts are, and whichever dialect each part's engine speaks."""
    body = {"model": "m", "input": [f"text {i}" for i in range(len(vectors))]}
    for endpoint, answer in (("/v1/embeddings", openai_answer), ("/api/embed", ollama_answer)):
        made = job(endpoint, body, settings=Embedding(embed_split_from=2))
        assert made.parts is not None
        cuts = sorted({0, len(vectors), *data.draw(st.sets(st.integers(1, len(vectors) - 1)))})
        fragments = []
        for start, stop in pairwise(cuts):
            way, own = data.draw(st.sampled_from([(LLAMA, openai_answer), (OLD, ollama_answer)]))
            call = made.parts.call(way, range(start, stop))
            assert sent(call)["input"] == body["input"][start:stop]
            fragments.append(call.meter.feed(own(*vectors[start:stop])) + call.meter.finish())
            assert call.meter.complete
        whole = json.loads(made.parts.join(fragments, call.meter.usage))
        alone = json.loads(answer(*vectors))
        key = "data" if endpoint.startswith("/v1") else "embeddings"
        told = sorted(alone[key], key=lambda row: row["index"]) if key == "data" else alone[key]
        assert whole[key] == told
        assert whole["model"] == "m"


def test_a_short_list_is_not_divided_and_none_is_where_that_is_switched_off() -> None:
    def divides(count: int, split_from: int) -> bool:
        body = {"model": "m", "input": ["x"] * count}
        return job("/api/embed", body, settings=Embedding(embed_split_from=split_from)).parts is not None

    assert [divides(31, 32), divides(32, 32), divides(1000, 0)] == [False, True, False]


def test_tags_come_from_body_and_header() -> None:
    body = {"model": "m", "input": "x", "metadata": {"tags": ["a"]}, "user": "eve"}
    made = job("/v1/embeddings", body, caller=Caller(tags="b, c", address="10.0.0.1", user_agent="curl"))
    assert made.tags == ("a", "b", "c", "user:eve")
    assert (made.client, made.user_agent) == ("10.0.0.1", "curl")
    assert set(sent(made.prepare(route()))) == {"model", "input"}


def test_heavy_inputs_weigh_more() -> None:
    made = job("/api/embed", {"model": "m", "input": ["x", "x" * 100]}, settings=Embedding(embed_split_from=2))
    assert made.parts is not None
    light, heavy = made.parts.weights
    assert heavy - light == 99


def test_what_is_read_of_a_body_is_kept_as_it_was_written() -> None:
    body = b'{"model":"m","input":["\\u00e9",  "b"]}'
    made = job("/api/embed", body, settings=Embedding(embed_split_from=2))
    assert made.parts is not None
    [item] = (msgspec.json.decode(made.parts.call(LLAMA, range(1)).body, type=dict[str, msgspec.Raw])["input"],)
    assert bytes(item) == b'["\\u00e9"]'
