"""LiteLLM by two of its ways: as an OpenAI service, and as an Ollama."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices as it is imported

import litellm
from steps import MODEL, NOBODY, QUESTION, TOKENS, URL, refusal, run

as_openai = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": "any"}
as_ollama = {"model": f"ollama_chat/{MODEL}", "api_base": URL}
asked = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS, "num_retries": 0}


def answers(**way: str) -> None:
    answer = litellm.completion(**way, **asked)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert 0 < answer.usage.completion_tokens <= TOKENS


def streams(**way: str) -> None:
    chunks = list(litellm.completion(stream=True, **way, **asked))
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) > 2
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")


def openai_chat() -> None:
    answers(**as_openai)


def openai_chat_stream() -> None:
    streams(**as_openai)


def ollama_chat() -> None:
    answers(**as_ollama)


def ollama_chat_stream() -> None:
    streams(**as_ollama)


def unknown_model() -> None:
    nobody = as_openai | {"model": f"openai/{NOBODY}"}
    assert NOBODY in str(refusal(litellm.NotFoundError, lambda: litellm.completion(**nobody, **asked)))


run(openai_chat, openai_chat_stream, ollama_chat, ollama_chat_stream, unknown_model)
