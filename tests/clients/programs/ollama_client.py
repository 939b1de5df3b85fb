"""Ollama's own Python library: what there is, what is loaded, chats and texts, and the errors."""

import ollama
from steps import MODEL, NOBODY, QUESTION, SCHEMA, TOKENS, URL, WEATHER, is_city, refusal, run

client = ollama.Client(host=URL)
messages = [{"role": "user", "content": QUESTION}]
few = {"num_predict": TOKENS}


def models() -> None:
    assert MODEL in [model.model for model in client.list().models]


def show() -> None:
    shown = client.show(MODEL)
    assert "completion" in shown.capabilities
    assert shown.details.format == "gguf"


def chat() -> None:
    answer = client.chat(MODEL, messages, options=few)
    assert answer.message.content
    assert answer.done
    assert answer.done_reason in ("length", "stop")
    assert 0 < answer.eval_count <= TOKENS
    assert answer.total_duration > 0


def chat_stream() -> None:
    *parts, last = client.chat(MODEL, messages, stream=True, options=few)
    assert len([part for part in parts if part.message.content]) > 2
    assert not any(part.done for part in parts)
    assert last.done
    assert 0 < last.eval_count <= TOKENS


def generate() -> None:
    assert client.generate(MODEL, QUESTION, options=few).response
    *parts, last = client.generate(MODEL, QUESTION, stream=True, options=few)
    assert "".join(part.response for part in parts)
    assert last.done_reason in ("length", "stop")


def load() -> None:
    assert client.generate(MODEL, keep_alive="5m").done_reason == "load"
    assert MODEL in [model.model for model in client.ps().models]


def format_schema() -> None:
    assert is_city(client.chat(MODEL, messages, format=SCHEMA, options={"num_predict": 64}).message.content)


def tools() -> None:
    tool = {"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": WEATHER}}
    said = client.chat(MODEL, messages, tools=[tool], options=few).message
    assert said.content or said.tool_calls


def unknown_model() -> None:
    error = refusal(ollama.ResponseError, lambda: client.chat(NOBODY, messages))
    assert error.status_code == 404
    assert NOBODY in error.error
    assert "not found" in error.error


run(models, show, chat, chat_stream, generate, load, format_schema, tools, unknown_model)
