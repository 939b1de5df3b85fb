"""LangChain's chat model for Ollama, pointed at Herd; it asks for the model's name before it begins."""

from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from steps import MODEL, QUESTION, SCHEMA, TOKENS, URL, run

model = ChatOllama(model=MODEL, base_url=URL, num_predict=TOKENS)


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


def model_validated() -> None:
    assert ChatOllama(model=MODEL, base_url=URL, validate_model_on_init=True)


def invoke() -> None:
    answer = model.invoke(QUESTION)
    assert answer.content
    assert 0 < answer.usage_metadata["output_tokens"] <= TOKENS


def stream() -> None:
    assert len([chunk for chunk in model.stream(QUESTION) if chunk.content]) > 2


def structured_output() -> None:
    wanted = SCHEMA | {"title": "city", "description": "A city."}
    roomy = ChatOllama(model=MODEL, base_url=URL, num_predict=64)
    assert list(roomy.with_structured_output(wanted, method="json_schema").invoke("Name a city.")) == ["city"]


def tools() -> None:
    answer = model.bind_tools([weather]).invoke(QUESTION)
    assert answer.content or answer.tool_calls


run(model_validated, invoke, stream, structured_output, tools)
