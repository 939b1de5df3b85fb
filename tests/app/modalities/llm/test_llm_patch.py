"""Native first: what changes in a body on its way to an engine that speaks its dialect, and what does not."""

import json
from typing import Any

import pytest
from golden.kept import call, golden, job, route
from hypothesis import given
from hypothesis import strategies as st

OURS = ("metadata", "fallback_models", "user")


@pytest.mark.parametrize(("name", "path"), [("ollama-chat", "/api/chat"), ("openai-chat", "/v1/chat/completions")])
def test_a_rich_body_is_forwarded_as_recorded_byte_for_byte(name: str, path: str) -> None:
    sent = call(path, golden(f"request-{name}.json"), route())
    assert sent.body == golden(f"forwarded-{name}.json")
    assert sent.path == path
    assert sent.stream


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", b' { "keep_alive" : "5m",\n "model": "smollm2:135m" , "x": 1.50, "x": 1e400 } '),
        ("/v1/chat/completions", b'{ "model": "smollm2:135m", "messages": [ ], "stream": false}'),
        ("/v1/completions", b'{ "model": "smollm2:135m", "stream": true, "stream_options": { "include_usage": true}}'),
    ],
)
def test_when_nothing_must_change_the_very_same_bytes_go_on(path: str, body: bytes) -> None:
    sent = call(path, body, route())
    assert sent.body is body
    assert sent.notes == ()


def test_each_change_is_noted() -> None:
    other = route("big:70b", how="fallback")
    assert call("/api/chat", {"model": "m"}, other).notes == ("model.renamed", "keep_alive.set")
    assert call("/v1/chat/completions", {"model": "m", "stream": True}, other).notes == ("model.renamed", "usage.asked")


@pytest.mark.parametrize(
    ("asked", "known", "kind", "how", "told"),
    [
        ("llama3", "llama3:latest", "ollama", "asked", "llama3"),
        ("LLAMA3:latest", "llama3:latest", "ollama", "asked", "LLAMA3:latest"),
        ("llama3", "llama3:latest", "openai", "asked", "llama3:latest"),
        ("llama3", "llama3", "openai", "asked", "llama3"),
        ("big:70b", "llama3:latest", "ollama", "fallback", "llama3:latest"),
        ("llama3", "llama3:latest", "ollama", "fallback", "llama3:latest"),
        ("big:70b", "small:1b", "ollama", "substitute", "small:1b"),
        ("m", "模型", "openai", "asked", "模型"),
    ],
)
def test_the_engine_is_told_the_name_that_it_knows(asked: str, known: str, kind: str, how: str, told: str) -> None:
    sent = call("/v1/chat/completions", {"a": 1, "model": asked, "z": 2}, route(known, kind, how=how))
    assert json.loads(sent.body) == {"a": 1, "model": told, "z": 2}
    assert list(json.loads(sent.body)) == ["a", "model", "z"]


def test_an_ollama_is_told_the_newer_limit_by_the_older_word_that_it_knows() -> None:
    def sent(limits: dict[str, Any], kind: str = "ollama") -> Any:
        return json.loads(call("/v1/chat/completions", {"model": "m", **limits}, route("m", kind)).body)

    assert sent({"max_completion_tokens": 5}) == {"model": "m", "max_completion_tokens": 5, "max_tokens": 5}
    newer = {"model": "m", "max_completion_tokens": 5}
    assert call("/v1/chat/completions", newer, route("m")).notes == ("limit.renamed",)
    assert "max_tokens" not in sent({"max_completion_tokens": 5}, "openai")
    assert "max_tokens" not in sent({"max_completion_tokens": None})
    assert sent({"max_completion_tokens": 5, "max_tokens": 9})["max_tokens"] == 9


def test_keep_alive_is_only_added_for_an_ollama_and_only_to_its_own_dialect() -> None:
    def keeps(path: str, body: dict[str, Any], kind: str) -> Any:
        return json.loads(call(path, {"model": "m", **body}, route("m", kind)).body).get("keep_alive")

    assert keeps("/api/chat", {}, "ollama") == -1
    assert keeps("/api/generate", {"keep_alive": 0}, "ollama") == 0
    assert keeps("/api/chat", {}, "openai") is None
    assert keeps("/v1/chat/completions", {}, "ollama") is None


def test_usage_is_asked_for_beside_the_clients_own_stream_options() -> None:
    for told in ({}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}):
        sent = call("/v1/chat/completions", {"model": "m", "stream": True, **told}, route("m"))
        assert json.loads(sent.body)["stream_options"] == {"include_usage": True}


def test_each_attempt_starts_from_the_clients_body() -> None:
    made = job("/api/chat", {"model": "m", "user": "ada"})
    assert json.loads(made.prepare(route("x:1", how="fallback")).body)["model"] == "x:1"
    assert json.loads(made.prepare(route("m")).body)["model"] == "m"
    assert made.prepare(route("m")).meter is not made.prepare(route("m")).meter


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
words = st.text(max_size=10).map(lambda text: json.dumps(text, ensure_ascii=False))
values = st.recursive(
    numbers | words | st.sampled_from(["null", "true", "false", "[ ]", "{ }"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + " , ".join(items) + "]")
        | st.lists(st.tuples(words, inner), max_size=3).map(
            lambda pairs: "{ " + ", ".join(f"{key} :{value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=10,
)
unknown = st.dictionaries(st.text(max_size=8).filter(lambda key: not key.isascii() or key.startswith("x")), values)


@given(unknown, st.sampled_from(["/api/chat", "/v1/chat/completions"]), st.booleans())
def test_a_patch_changes_the_named_keys_and_no_other_byte_of_a_value(
    fields: dict[str, str], path: str, stream: bool
) -> None:
    pairs = [*((json.dumps(key), value) for key, value in fields.items()), ('"stream"', json.dumps(stream))]
    pairs.insert(len(pairs) // 2, ('"model"', '"llama3"'))
    pairs.insert(0, ('"user"', '"ada"'))
    body = "{" + ",\n".join(f"{key}: {value}" for key, value in pairs) + "}"
    sent = call(path, body.encode(), route("other:1", how="fallback")).body.decode()
    at = 0
    for key, value in pairs:
        if key not in ('"user"', '"model"'):
            spelt = f"{json.dumps(json.loads(key), ensure_ascii=False)}:{value}"
            assert spelt in sent[at:], (spelt, sent)
            at = sent.index(spelt, at)
    forwarded = json.loads(sent)
    assert forwarded["model"] == "other:1"
    assert "user" not in forwarded
    assert set(forwarded) - {json.loads(key) for key, _ in pairs} <= {"keep_alive", "stream_options"}
