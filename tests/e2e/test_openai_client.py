"""The official OpenAI client in front of real llama.cpp servers: what it gets is what the engine itself says."""

import json
from typing import Any

import httpx
import openai
import pytest
from e2e.fleet import MODEL

pytestmark = pytest.mark.real_engine

MESSAGES: Any = [{"role": "user", "content": "Tell me a story about a fox."}]
EXACT: Any = {"model": MODEL, "temperature": 0, "max_tokens": 24}
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}


def said_directly(direct: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = direct.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_chat_says_what_the_engine_says(openai_client: openai.OpenAI, direct: httpx.Client) -> None:
    answer = openai_client.chat.completions.create(messages=MESSAGES, **EXACT)
    own = said_directly(direct, "/v1/chat/completions", messages=MESSAGES, **EXACT)
    (choice,) = answer.choices
    assert choice.message.content == own["choices"][0]["message"]["content"]
    assert (choice.finish_reason, choice.message.role) == ("length", "assistant")
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 24
    assert answer.usage.prompt_tokens == own["usage"]["prompt_tokens"]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_a_streamed_chat_says_the_same_piece_by_piece(openai_client: openai.OpenAI, direct: httpx.Client) -> None:
    chunks = list(openai_client.chat.completions.create(messages=MESSAGES, stream=True, **EXACT))
    own = said_directly(direct, "/v1/chat/completions", messages=MESSAGES, **EXACT)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == own["choices"][0]["message"]["content"]
    assert len([piece for piece in pieces if piece]) > 10
    assert chunks[-1].choices[0].finish_reason == "length"
    assert not any(chunk.usage for chunk in chunks)  # nobody asked for it


def test_a_stream_tells_its_usage_to_a_client_that_asks(openai_client: openai.OpenAI) -> None:
    asked: Any = {"include_usage": True}
    *_, last = openai_client.chat.completions.create(messages=MESSAGES, stream=True, stream_options=asked, **EXACT)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 24


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_says_what_the_engine_says(
    openai_client: openai.OpenAI, direct: httpx.Client, stream: bool
) -> None:
    own = said_directly(direct, "/v1/completions", prompt="The capital of France is", **EXACT)
    answer: Any = openai_client.completions.create(prompt="The capital of France is", stream=stream, **EXACT)
    parts = list(answer) if stream else [answer]
    assert "".join(part.choices[0].text for part in parts) == own["choices"][0]["text"]
    assert parts[-1].choices[0].finish_reason == "length"


def test_a_stop_word_ends_the_answer(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(messages=MESSAGES, **EXACT).choices[0].message.content
    assert whole is not None
    word = whole.split()[6]
    cut = openai_client.chat.completions.create(messages=MESSAGES, stop=[word], **EXACT).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole[: whole.index(word)]


def test_a_seed_makes_chance_repeatable(openai_client: openai.OpenAI) -> None:
    def said(seed: int, **more: Any) -> str | None:
        lively: Any = {**EXACT, "max_tokens": 8, "temperature": 1.5, "seed": seed, **more}
        return openai_client.chat.completions.create(messages=MESSAGES, **lively).choices[0].message.content

    assert said(1) == said(1)
    assert said(1) != said(2)
    assert said(1, top_p=0.0001) == said(2, top_p=0.0001)  # only the likeliest word is left


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_is_obeyed(openai_client: openai.OpenAI, stream: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}
    asked: Any = {**EXACT, "max_tokens": 60, "messages": [{"role": "user", "content": "Name a city."}]}
    answer: Any = openai_client.chat.completions.create(response_format=wanted, stream=stream, **asked)
    parts = (
        [chunk.choices[0].delta.content or "" for chunk in answer] if stream else [answer.choices[0].message.content]
    )
    assert list(json.loads("".join(parts))) == ["city"]


def test_models_are_listed_and_found_by_name(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list() if model.id == MODEL] == [MODEL]
    assert openai_client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("nobody/has-this:1b")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(openai_client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.chat.completions.create(model="nobody-has-this:1b", messages=MESSAGES, stream=stream)
    assert "nobody-has-this:1b" in caught.value.message
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "model_not_found"


def test_what_the_engine_refuses_it_refuses_in_its_own_words(
    openai_client: openai.OpenAI, direct: httpx.Client
) -> None:
    wrong: Any = {"model": MODEL, "messages": [{"role": "user", "content": [{"type": "nonsense"}]}]}
    own = direct.post("/v1/chat/completions", json=wrong)
    with pytest.raises(openai.APIStatusError) as caught:
        openai_client.chat.completions.create(**wrong)
    assert caught.value.status_code == own.status_code
    assert caught.value.body == own.json()["error"]
