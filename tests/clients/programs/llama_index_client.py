"""LlamaIndex's model for Ollama, pointed at Herd."""

from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama
from steps import MODEL, QUESTION, TOKENS, URL, run

model = Ollama(MODEL, base_url=URL, request_timeout=120, context_window=2048, additional_kwargs={"num_predict": TOKENS})
messages = [ChatMessage(role="user", content=QUESTION)]


def complete() -> None:
    assert model.complete(QUESTION).text


def chat() -> None:
    answer = model.chat(messages)
    assert answer.message.content
    assert answer.raw["done_reason"] in ("length", "stop")


def chat_stream() -> None:
    assert len([part for part in model.stream_chat(messages) if part.delta]) > 2


run(complete, chat, chat_stream)
