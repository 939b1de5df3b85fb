"""An Ollama request for an engine that speaks only OpenAI's dialect: what is kept, what is noted, what is refused."""

import json
from typing import Any

import pytest
from golden.kept import call, golden, read, route

from app.errors import BodyInvalid
from app.fleet.job import Call

USER = [{"role": "user", "content": "Hi"}]
OPENAI_ONLY = route(kind="openai", dialects=("openai",))


def chat(**fields: Any) -> Call:
    return call("/api/chat", {"model": "smollm2:135m", "messages": USER, "stream": False, **fields}, OPENAI_ONLY)


def generate(**fields: Any) -> Call:
    return call("/api/generate", {"model": "smollm2:135m", "stream": False, **fields}, OPENAI_ONLY)


def said(sent: Call) -> dict[str, Any]:
    out = json.loads(sent.body)
    assert out.pop("model") == "smollm2:135m"
    assert out.pop("stream") is sent.stream
    return out


def test_a_rich_chat_is_translated_as_recorded_byte_for_byte() -> None:
    sent = call("/api/chat", golden("request-ollama-chat.json"), OPENAI_ONLY)
    assert sent.body == golden("translated-ollama-chat.json")
    assert (sent.path, sent.method, sent.stream) == ("/v1/chat/completions", "POST", True)
    assert sent.notes == ("dialect.translated", "fields.dropped a_field_of_tomorrow", "options.dropped odd")


def test_the_engine_gets_its_own_spelling_of_the_model() -> None:
    way = route("Qwen/Qwen3-8B", "openai", ("openai",), how="fallback")
    assert json.loads(call("/api/chat", {"model": "qwen3", "messages": USER}, way).body)["model"] == "Qwen/Qwen3-8B"


def test_nothing_is_added_that_the_client_did_not_ask_for() -> None:
    assert said(chat()) == {"messages": [{"role": "user", "content": "Hi"}]}
    assert said(generate(prompt="Hi")) == {"messages": [{"role": "user", "content": "Hi"}]}
    assert said(chat(options={}, format="", think=None, tools=None, logprobs=False)) == said(chat())


def test_options_become_top_level_keys_with_their_values_as_written() -> None:
    body = (
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "options": {"temperature": 0.70, "top_p": 1.0,'
        b'"top_k": 40, "min_p": 5e-2, "seed": 18446744073709551615, "stop": ["a"], "num_predict": 7,'
        b'"presence_penalty": 1, "frequency_penalty": 2, "repeat_penalty": 1.10, "num_ctx": 4096, "num_gpu": null}}'
    )
    sent = call("/api/chat", body, OPENAI_ONLY)
    assert (
        b'"temperature":0.70,"top_p":1.0,"top_k":40,"min_p":5e-2,"seed":18446744073709551615,"stop":["a"],'
        b'"max_tokens":7,"presence_penalty":1,"frequency_penalty":2,"repeat_penalty":1.10,"repetition_penalty":1.10'
    ) in sent.body
    assert "options.dropped num_ctx" in sent.notes


@pytest.mark.parametrize("number", [-1, -2, 0])
def test_an_unlimited_output_is_not_turned_into_a_number(number: int) -> None:
    assert "max_tokens" not in said(chat(options={"num_predict": number}))


def test_a_format_becomes_a_response_format() -> None:
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    assert said(chat(format="json"))["response_format"] == {"type": "json_object"}
    told = said(generate(prompt="x", format=schema))["response_format"]
    assert told["type"] == "json_schema"
    assert told["json_schema"]["schema"] == schema
    assert list(told["json_schema"]["schema"]["properties"]) == ["z", "a"]


def test_think_becomes_what_chat_templates_know() -> None:
    assert said(chat(think=False))["chat_template_kwargs"] == {"enable_thinking": False}
    assert said(chat(think=True))["chat_template_kwargs"] == {"enable_thinking": True}
    high = said(chat(think="high"))
    assert high["reasoning_effort"] == high["chat_template_kwargs"]["reasoning_effort"] == "high"


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("iVBORw0KGgoAAAAN", "png"),
        ("/9j/4AAQSkZJRgAB", "jpeg"),
        ("R0lGODlhAQABAAAA", "gif"),
        ("UklGRiQAAABXRUJQ", "webp"),
    ],
)
def test_images_become_data_uris_of_their_own_type(start: str, kind: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{start}"}}
    seen = said(chat(messages=[{"role": "user", "content": "x", "images": [start]}]))
    assert seen["messages"][0]["content"] == [{"type": "text", "text": "x"}, part]
    seen = said(generate(prompt="", images=[start]))
    assert seen["messages"][0]["content"] == [part]


def test_each_tool_answer_is_bound_to_its_call() -> None:
    calls = [{"function": {"name": name, "arguments": {"of": name}}} for name in ("f", "g", "f")]
    messages = [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_name": "g", "content": "from g"},
        {"role": "tool", "tool_name": "f", "content": "from f"},
        {"role": "tool", "content": "from the other f"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "mine", "function": {"name": "h"}}]},
        {"role": "tool", "tool_call_id": "mine", "content": "from h"},
    ]
    out = said(chat(messages=messages))["messages"]
    made = [tool["id"] for tool in out[0]["tool_calls"]]
    assert len(set(made)) == 3
    assert [line["tool_call_id"] for line in out if line["role"] == "tool"] == [made[1], made[0], made[2], "mine"]
    assert [json.loads(tool["function"]["arguments"]) for tool in out[0]["tool_calls"]] == [
        {"of": "f"},
        {"of": "g"},
        {"of": "f"},
    ]
    assert out[4]["tool_calls"][0] == {"id": "mine", "type": "function", "function": {"name": "h", "arguments": "{}"}}


def test_a_raw_prompt_goes_on_untouched_and_every_other_one_as_a_chat() -> None:
    raw = generate(prompt="<s>[INST] x", raw=True, options={"num_predict": 3}, logprobs=True)
    assert raw.path == "/v1/completions"
    assert said(raw) == {"prompt": "<s>[INST] x", "max_tokens": 3, "logprobs": 1}
    plain = generate(prompt="x", system="Be brief.", template="{{ .Prompt }}", context=[1, 2], keep_alive="5m")
    assert plain.path == "/v1/chat/completions"
    assert said(plain)["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "x"}]
    assert plain.notes == ("dialect.translated", "fields.dropped keep_alive, template, context")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "suffix": "b", "raw": True}, "suffix"),
        ({"prompt": "a", "raw": True, "images": ["aGVsbG8="]}, "raw"),
        ({"prompt": "a", "images": ["http://10.0.0.1/x.png"]}, "images"),
        ({"prompt": "a", "format": "yaml"}, "format"),
        ({"prompt": "a", "think": "very"}, "think"),
        ({"prompt": "a", "_debug_render_only": True}, "render"),
        ({"prompt": "a", "options": {"num_predict": "x"}}, "num_predict"),
    ],
)
def test_what_cannot_be_said_in_the_engines_words_is_refused_in_a_sentence(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(BodyInvalid, match=word):
        generate(**fields)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "fields", "reason"),
    [
        ("/api/generate", {}, "load"),
        ("/api/generate", {"prompt": "", "keep_alive": -1}, "load"),
        ("/api/generate", {"prompt": "", "keep_alive": 0}, "unload"),
        ("/api/chat", {"messages": [], "keep_alive": "0s"}, "unload"),
        ("/api/chat", {}, "load"),
    ],
)
def test_a_load_request_is_answered_after_a_look_at_the_engine(
    path: str, fields: dict[str, Any], reason: str, stream: bool
) -> None:
    sent = call(path, {"model": "smollm2:135m", "stream": stream, **fields}, OPENAI_ONLY)
    assert (sent.method, sent.path, sent.body, sent.stream) == ("GET", "/v1/models", b"", False)
    answer = json.loads(read(sent.meter, [b'{"object":"list",', b'"data":[]}']))
    assert (answer["model"], answer["done"], answer["done_reason"]) == ("smollm2:135m", True, reason)
    assert answer.get("response" if path == "/api/generate" else "message") in (
        "",
        {"role": "assistant", "content": ""},
    )
    assert sent.meter.complete
    refused = call(path, {"model": "smollm2:135m", **fields}, OPENAI_ONLY).meter
    assert read(refused, [b"<html>"]) == b""
    assert refused.refusal
