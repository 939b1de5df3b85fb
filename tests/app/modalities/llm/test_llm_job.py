"""What a body becomes: a demand, tags, or the client's error and nothing else."""

import json
from typing import Any

import pytest
from golden.kept import call, job, route
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BodyInvalid, ModelMissing, NotServed, RequestError
from app.fleet.job import Route
from app.modalities.llm import context
from app.modalities.llm.settings import LanguageModels

ENDPOINTS = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"]
FIELDS = [
    "model", "messages", "prompt", "stream", "options", "fallback_models", "metadata", "user", "tools", "system",
    "suffix", "images", "fallback", "max_tokens", "max_completion_tokens", "stream_options", "format", "think",
    "keep_alive", "reasoning_effort", "chat_template_kwargs", "reasoning", "raw",
    "template", "context", "logprobs", "top_logprobs", "temperature", "stop",
    "input", "instructions", "max_output_tokens", "tool_choice", "thinking", "output_config", "stop_sequences",
    "text", "previous_response_id", "conversation", "background", "a_field_of_tomorrow",
]  # fmt: skip
WRONG = [
    b"null", b"true", b"5", b"-1", b"1.5", b"1e400", b"1e308", b'""', b'"text"', b"[]", b"[5]", b"[null]", b"[[[]]]",
    b"{}", b'{"a": 1}', b"9" * 400, b"9" * 5000, b'"\\udc00"', b'"\\ud800"', b'"\xff"', b"NaN", b"[{}]",
    b'[{"role": 5}]', b'[{"content": 5}]', b'[{"content": [5]}]', b'[{"content": [{"text": 5}]}]',
    b'[{"content": [{"image_url": 5}]}]', b'[{"images": "x"}]', b'[{"images": [5]}]', b'[{"tool_calls": 5}]',
    b'[{"tool_calls": [{"function": {"arguments": "x"}}]}]', b'{"num_predict": "x"}', b'{"num_ctx": 1e308}',
    b'{"include_usage": "x"}', b'{"tags": {}}', b'{"tags": [1e400, {}, null, "\\u0000"]}',
    b'[{"content": [{"type": "image", "source": 5}]}]', b'[{"content": [{"type": "tool_use", "input": "x"}]}]',
    b'[{"content": [{"type": "tool_result", "content": [5]}]}]', b'[{"type": "function_call", "arguments": 5}]',
    b'[{"type": "function_call_output", "output": 5}]',
    b'[{"content": [{"type": "document", "source": {"content": 5}}]}]',
    b'{"type": 5}', b'{"effort": 5}', b'{"format": {"type": "json_schema", "schema": 5}}',
    b"[" * 600 + b"]" * 600, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500,
]  # fmt: skip


def status(endpoint: str, body: Any, way: Route) -> int:
    """0 if the body becomes a call, else the status of the error."""
    try:
        call(endpoint, body, way)
    except RequestError as error:
        return error.status
    return 0


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_any_wrong_type_is_the_clients_error_or_the_engines_affair(endpoint: str, field: str) -> None:
    base = {"model": b'"m"', "messages": b'[{"role": "user", "content": "x"}]', "prompt": b'"x"', "input": b'"x"'}
    for value in WRONG:
        body = b",".join(b'"%s": %s' % (key.encode(), text) for key, text in {**base, field: value}.items())
        for way in (route(), route("other:1", "openai", ("openai",))):
            assert status(endpoint, b"{" + body + b"}", way) in (0, 400)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_bytes_come_only_a_request_error_is_raised(body: bytes) -> None:
    for endpoint in ENDPOINTS:
        with pytest.raises(RequestError):
            job(endpoint, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*FIELDS, "role", "content"]), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=8), st.sampled_from(ENDPOINTS))
def test_any_json_object_is_served_or_refused_politely(body: dict[str, Any], endpoint: str) -> None:
    for way in (route("m"), route("m", "openai", ("openai",))):
        assert status(endpoint, {**body, "model": "m"}, way) in (0, 400)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": 5}, "model"),
        ({"model": "m", "messages": "x"}, "messages"),
        ({"model": "m", "stream": "yes"}, "stream"),
        ({"model": "m", "options": []}, "options"),
        ({"model": "m", "fallback_models": {}}, "fallback_models"),
        ({"model": "m", "fallback_models": ["a\r\nb"]}, "fallback_models"),
        ({"model": "m", "messages": [{"content": 5}]}, "messages[0].content"),
        ({"model": "m" * 201}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": "m", "options": {"num_ctx": 1e308}}, "num_ctx"),
    ],
)
def test_the_error_names_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(BodyInvalid) as told:
        job("/api/chat", body)
    assert field in told.value.message
    assert "`" not in told.value.message


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": ""}, {"model": "  "}])
def test_no_model_is_its_own_error(body: dict[str, Any]) -> None:
    with pytest.raises(ModelMissing):
        job("/v1/chat/completions", body)


def test_a_name_in_any_script_is_a_name() -> None:
    assert job("/api/chat", {"model": "模型:é"}).demand.models == ("模型:é",)


@pytest.mark.parametrize(
    ("characters", "messages", "tokens"), [(100, 1, 29), (0, 0, 1), (6, 2, 9), (0, 1, 4), (3, 0, 1)]
)
def test_the_token_estimate_counts_text_and_messages(characters: int, messages: int, tokens: int) -> None:
    assert context.prompt_tokens(characters, messages) == tokens


def test_the_estimate_of_a_body_counts_only_text_parts() -> None:
    parts = [{"type": "text", "text": "abcd"}, {"type": "other", "text": "not counted"}]
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": parts}]}
    assert job("/v1/chat/completions", body).demand.prompt_tokens == 9
    assert job("/api/chat", {"model": "m", "messages": [{"content": "x" * 100}]}).demand.prompt_tokens == 29
    assert job("/api/chat", {"model": "m"}).demand.prompt_tokens == 1
    assert job("/api/generate", {"model": "m", "prompt": "x" * 100}).demand.prompt_tokens == 29
    assert job("/v1/completions", {"model": "m", "prompt": ["x" * 50, "x" * 50]}).demand.prompt_tokens == 29
    assert job("/v1/completions", {"model": "m", "prompt": list(range(25))}).demand.prompt_tokens == 29


def test_the_demand_says_what_is_needed() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    seeing = [{"role": "user", "content": "x", "images": ["aGVsbG8="]}]
    ollama = job("/api/chat", {"model": "m", "messages": seeing, "tools": tools, "options": {"num_predict": 50}})
    assert set(ollama.demand.needs) == {"vision", "tools"}
    assert ollama.demand.context_needed == ollama.demand.prompt_tokens + 50
    unlimited = job("/api/chat", {"model": "m", "messages": [], "tools": [], "options": {"num_predict": -1}})
    assert unlimited.demand.needs == ()
    assert unlimited.demand.context_needed == unlimited.demand.prompt_tokens
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    openai = job("/v1/chat/completions", {"model": "m", "messages": [{"content": [part]}], "max_tokens": 7})
    assert openai.demand.needs == ("vision",)
    plain = [{"type": "text", "text": "x", "image_url": None}]
    assert job("/v1/chat/completions", {"model": "m", "messages": [{"content": plain}]}).demand.needs == ()
    assert openai.demand.context_needed == openai.demand.prompt_tokens + 7


def test_operation_stream_and_models_follow_the_endpoint() -> None:
    body = {"model": "a", "fallback_models": ["b", "a"], "messages": [], "input": ""}
    made = {path: job(path, body) for path in ENDPOINTS}
    assert [made[path].demand.operation for path in ENDPOINTS] == [
        "chat",
        "generate",
        "chat",
        "generate",
        "chat",
        "chat",
    ]
    assert [made[path].stream for path in ENDPOINTS] == [True, True, False, False, False, False]
    assert [made[path].dialect for path in ENDPOINTS] == ["ollama"] * 2 + ["openai"] * 2 + ["anthropic", "responses"]
    assert all(one.demand.models == ("a", "b") for one in made.values())


def test_another_spelling_of_a_name_is_no_further_model() -> None:
    assert job("/api/chat", {"model": "a", "fallback_models": ["a:latest", "A", "b"]}).demand.models == ("a", "b")


def test_a_substitute_is_noted_also_where_the_request_is_translated() -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
    for kind, dialects in (("ollama", ("ollama",)), ("llama", ("openai",))):
        way = route("b", kind=kind, dialects=dialects, how="substitute")
        assert "model.substituted" in call("/api/chat", body, way).notes


@pytest.mark.parametrize(
    ("keep_alive", "said", "arrives"),
    [
        ("fill", None, -1), ("fill", "5m", "5m"), ("fill", 0, 0),
        ("hold", None, -1), ("hold", "5m", -1), ("hold", 0, -1),
        ("leave", None, None), ("leave", "5m", "5m"),
    ],
)  # fmt: skip
def test_how_long_a_model_stays_is_said_as_the_setting_will(keep_alive: Any, said: Any, arrives: Any) -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
    body |= {} if said is None else {"keep_alive": said}
    made = call("/api/chat", body, route("a"), LanguageModels(keep_alive=keep_alive))
    assert json.loads(made.body).get("keep_alive") == arrives
    assert not made.keeps


def test_who_lets_a_model_go_is_obeyed_also_where_the_router_holds_models() -> None:
    body = {"model": "a", "messages": [], "keep_alive": 0}
    made = call("/api/chat", body, route("a"), LanguageModels(keep_alive="hold"))
    assert json.loads(made.body)["keep_alive"] == 0


def test_a_dialect_without_a_word_for_it_leaves_keeping_the_model_to_the_router() -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
    assert call("/v1/chat/completions", body, route("a")).keeps
    assert not call("/v1/chat/completions", body, route("a"), LanguageModels(keep_alive="leave")).keeps
    assert not call("/v1/chat/completions", body, route("a", kind="llama")).keeps


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x.png", "https://x/y", "file:///etc/passwd", "ftp://x", "//x", "", "iVBORw0KGgo="]
)
@pytest.mark.parametrize("field", ["image_url", "audio_url", "video_url"])
def test_nothing_is_ever_fetched_for_a_request(field: str, url: str) -> None:
    for value in (url, {"url": url}, {"detail": "low", "url": url}):
        body = {"model": "m", "messages": [{"role": "user", "content": [{"type": field, field: value}]}]}
        with pytest.raises(BodyInvalid, match="data: URI") as told:
            raise_text(body)
        assert told.value.status == 400


def raise_text(body: dict[str, Any]) -> None:
    try:
        job("/v1/chat/completions", body)
    except BodyInvalid as error:
        raise BodyInvalid(error.text) from error


def test_an_address_written_in_escapes_is_not_fetched_either() -> None:
    body = (
        b'{"model": "m", "messages": [{"content": [{"type": "image_url", "image_url": {"url": "\\u0068ttp://x/"}}]}]}'
    )
    with pytest.raises(BodyInvalid):
        job("/v1/chat/completions", body)


def test_tags_are_the_union_of_all_places_in_order_bounded_and_printable() -> None:
    metadata = {"tags": ["b", "", None, 7, "a\x1b[31m\n", "b"]}
    made = job("/api/chat", {"model": "m", "metadata": metadata, "user": "ada"}, tag_header=" x , b,,y ")
    assert made.tags == ("b", "7", "a[31m", "x", "y", "user:ada")
    many = job("/api/chat", {"model": "m", "metadata": {"tags": ["t" * 100 + str(n) for n in range(5)]}})
    assert many.tags == ("t" * 64,)
    assert len(job("/api/chat", {"model": "m"}, tag_header=",".join(map(str, range(99)))).tags) == 16


@given(json_values, json_values, st.text(max_size=300))
def test_whatever_stands_where_tags_belong_gives_few_short_printable_tags(meta: Any, user: Any, header: str) -> None:
    tags = job("/api/chat", {"model": "m", "metadata": meta, "user": user}, tag_header=header).tags
    assert len(tags) <= 16
    assert all(0 < len(tag) <= 64 and tag.isprintable() for tag in tags)
    assert len(set(tags)) == len(tags)


def test_an_engine_that_speaks_neither_dialect_is_refused() -> None:
    with pytest.raises(NotServed):
        call("/api/chat", {"model": "m"}, route(dialects=("anthropic",)))
    with pytest.raises(NotServed):
        call("/v1/completions", {"model": "m"}, route(dialects=("ollama",)))
