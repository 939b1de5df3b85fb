"""The official Ollama client in front of llama.cpp servers, which do not speak Ollama: it must not notice."""

import json
from typing import Any

import httpx
import ollama
import pytest
from e2e.fleet import MODEL

pytestmark = pytest.mark.real_engine

MESSAGES = [{"role": "user", "content": "Tell me a story about a fox."}]
EXACT: Any = {"temperature": 0, "num_predict": 24}
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture
def own_words(direct: httpx.Client) -> str:
    """What the engine says of itself to the very question, asked in its own dialect."""
    body = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 24}
    return str(direct.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"])


def test_a_chat_says_what_the_engine_says(ollama_client: ollama.Client, own_words: str) -> None:
    answer = ollama_client.chat(MODEL, MESSAGES, options=EXACT)
    assert (answer.message.role, answer.message.content) == ("assistant", own_words)
    assert (answer.model, answer.done, answer.done_reason, answer.eval_count) == (MODEL, True, "length", 24)
    assert answer.prompt_eval_count
    assert answer.prompt_eval_count > 5
    assert answer.total_duration
    assert answer.eval_duration


def test_a_streamed_chat_says_the_same_piece_by_piece(ollama_client: ollama.Client, own_words: str) -> None:
    *parts, last = ollama_client.chat(MODEL, MESSAGES, options=EXACT, stream=True)
    assert "".join(part.message.content or "" for part in parts) == own_words
    assert len(parts) > 10
    assert not any(part.done for part in parts)
    assert (last.done, last.done_reason, last.eval_count) == (True, "length", 24)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_is_answered_through_the_models_own_template(
    ollama_client: ollama.Client, own_words: str, stream: bool
) -> None:
    answer: Any = ollama_client.generate(MODEL, MESSAGES[0]["content"], options=EXACT, stream=stream)
    parts = list(answer) if stream else [answer]
    assert "".join(part.response for part in parts) == own_words
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "length", 24)


@pytest.mark.parametrize("stream", [False, True])
def test_a_raw_prompt_goes_past_the_template(ollama_client: ollama.Client, direct: httpx.Client, stream: bool) -> None:
    body = {"model": MODEL, "prompt": "The capital of France is", "temperature": 0, "max_tokens": 24}
    own = direct.post("/v1/completions", json=body).json()["choices"][0]["text"]
    answer: Any = ollama_client.generate(MODEL, body["prompt"], raw=True, options=EXACT, stream=stream)  # type: ignore[call-overload]
    assert "".join(part.response for part in (answer if stream else [answer])) == own


def test_a_stop_word_ends_the_answer(ollama_client: ollama.Client, own_words: str) -> None:
    word = own_words.split()[6]
    cut = ollama_client.chat(MODEL, MESSAGES, options={**EXACT, "stop": [word]})
    assert cut.done_reason == "stop"
    assert cut.message.content == own_words[: own_words.index(word)]


def test_a_seed_makes_chance_repeatable(ollama_client: ollama.Client) -> None:
    def said(seed: int, **more: Any) -> str | None:
        lively = {**EXACT, "num_predict": 8, "temperature": 1.5, "seed": seed, **more}
        return ollama_client.chat(MODEL, MESSAGES, options=lively).message.content

    assert said(1) == said(1)
    assert said(1) != said(2)
    assert said(1, top_p=0.0001) == said(2, top_p=0.0001)  # only the likeliest word is left


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_is_obeyed(ollama_client: ollama.Client, stream: bool) -> None:
    question = [{"role": "user", "content": "Name a city."}]
    options = {**EXACT, "num_predict": 60}
    answer: Any = ollama_client.chat(MODEL, question, format=SCHEMA, options=options, stream=stream)  # type: ignore[call-overload]
    parts = list(answer) if stream else [answer]
    assert list(json.loads("".join(part.message.content or "" for part in parts))) == ["city"]


def test_the_word_json_makes_the_answer_json(ollama_client: ollama.Client) -> None:
    options = {**EXACT, "num_predict": 200, "stop": ["}"]}
    answer = ollama_client.chat(MODEL, [{"role": "user", "content": "Name a city."}], format="json", options=options)
    assert (answer.message.content or "").lstrip().startswith("{")


def test_lists_tell_what_the_engines_have(ollama_client: ollama.Client) -> None:
    (listed,) = [model for model in ollama_client.list().models if model.model == MODEL]
    assert listed.size == 96_576_768
    assert listed.digest
    assert listed.modified_at is not None
    assert listed.details is not None
    assert (listed.details.format, listed.details.parameter_size, listed.details.quantization_level) == (
        "gguf", "135M", "Q4_1",
    )  # fmt: skip
    running = [model for model in ollama_client.ps().models if model.model == MODEL]
    assert len(running) == 2  # one for each node
    assert {model.context_length for model in running} == {2048}
    assert all(model.expires_at is not None and model.size_vram for model in running)


def test_a_model_is_shown(ollama_client: ollama.Client) -> None:
    shown = ollama_client.show(MODEL)
    assert shown.capabilities
    assert "completion" in shown.capabilities
    assert shown.modelinfo
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.context_length"] == 8192
    assert shown.details is not None
    assert shown.details.parameter_size == "135M"


@pytest.mark.parametrize("keep_alive", [-1, "10m", 0])
def test_a_prompt_that_is_empty_asks_for_the_model_only(ollama_client: ollama.Client, keep_alive: Any) -> None:
    reason = "load" if keep_alive else "unload"
    told = ollama_client.generate(MODEL, keep_alive=keep_alive)
    assert (told.done, told.done_reason, told.response) == (True, reason, "")
    chat = ollama_client.chat(MODEL, keep_alive=keep_alive)
    assert (chat.done, chat.done_reason, chat.message.content) == (True, reason, "")
    assert ollama_client.chat(MODEL, MESSAGES, options={"num_predict": 1}, keep_alive=keep_alive).eval_count == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found(ollama_client: ollama.Client, stream: bool) -> None:
    for ask in (
        lambda: ollama_client.chat("nobody-has-this:1b", MESSAGES, stream=stream),  # type: ignore[call-overload]
        lambda: ollama_client.generate("nobody-has-this:1b", "Hi", stream=stream),  # type: ignore[call-overload]
        lambda: ollama_client.show("nobody-has-this:1b"),
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            list(ask())
        assert caught.value.status_code == 404
        assert "nobody-has-this:1b" in caught.value.error
