"""LangChain's chat model for OpenAI services, pointed at Herd."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from steps import MODEL, QUESTION, SCHEMA, TOKENS, URL, run

model = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key="any", max_tokens=TOKENS, max_retries=0)


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"It is sunny in {city}."


def invoke() -> None:
    answer = model.invoke(QUESTION)
    assert answer.content
    assert 0 < answer.usage_metadata["output_tokens"] <= TOKENS


def stream() -> None:
    assert len([chunk for chunk in model.stream(QUESTION) if chunk.content]) > 2


def structured_output() -> None:
    wanted = SCHEMA | {"title": "city", "description": "A city."}
    roomy = model.model_copy(update={"max_tokens": 64})
    assert list(roomy.with_structured_output(wanted, method="json_schema").invoke("Name a city.")) == ["city"]


def tools() -> None:
    answer = model.bind_tools([weather]).invoke(QUESTION)
    assert answer.content or answer.tool_calls


run(invoke, stream, structured_output, tools)
