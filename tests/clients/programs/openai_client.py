"""OpenAI's own library: each of its calls that a language model can answer."""

import openai
from steps import MODEL, NOBODY, QUESTION, SCHEMA, TOKENS, URL, WEATHER, is_city, refusal, run

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
messages = [{"role": "user", "content": QUESTION}]
asked = {"model": MODEL, "messages": messages, "max_tokens": TOKENS}


def models() -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).object == "model"


def chat() -> None:
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert 0 < answer.usage.completion_tokens <= TOKENS
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def chat_stream() -> None:
    *chunks, last = client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked)
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 2
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] in ("length", "stop")
    assert 0 < last.usage.completion_tokens <= TOKENS


def completions() -> None:
    answer = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=4)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    chunks = list(client.completions.create(model=MODEL, prompt="Once upon", max_tokens=8, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def responses() -> None:
    answer = client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=TOKENS)
    assert answer.output_text
    assert answer.status in ("completed", "incomplete")
    assert 0 < answer.usage.output_tokens <= TOKENS


def responses_stream() -> None:
    events = list(client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=TOKENS, stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds.count("response.output_text.delta") > 2
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta")


def json_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    answer = client.chat.completions.create(**asked | {"max_tokens": 64}, response_format=wanted)
    assert is_city(answer.choices[0].message.content)


def tools() -> None:
    tool = {"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": WEATHER}}
    answer = client.chat.completions.create(**asked, tools=[tool])
    said = answer.choices[0].message
    assert said.content or [call.function.name for call in said.tool_calls]
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    told = [*messages, {"role": "assistant", "content": None, "tool_calls": [call]}]
    told.append({"role": "tool", "tool_call_id": "call_1", "content": "Sunny."})
    assert client.chat.completions.create(**asked | {"messages": told}, tools=[tool]).choices[0].message


def unknown_model() -> None:
    asking = asked | {"model": NOBODY}
    error = refusal(openai.NotFoundError, lambda: client.chat.completions.create(**asking))
    assert NOBODY in error.body["message"]


run(models, chat, chat_stream, completions, responses, responses_stream, json_schema, tools, unknown_model)
