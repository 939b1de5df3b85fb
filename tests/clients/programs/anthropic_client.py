"""Anthropic's own library: messages, whole and as a stream, and what they would cost."""

import anthropic
from steps import MODEL, NOBODY, QUESTION, TOKENS, URL, WEATHER, refusal, run

client = anthropic.Anthropic(base_url=URL, api_key="any", max_retries=0)
messages = [{"role": "user", "content": QUESTION}]
asked = {"model": MODEL, "messages": messages, "max_tokens": TOKENS}
tool = {"name": "weather", "description": "Weather.", "input_schema": WEATHER}


def messages_create() -> None:
    answer = client.messages.create(system="Be brief.", **asked)
    assert (answer.type, answer.role) == ("message", "assistant")
    assert answer.content[0].text
    assert answer.stop_reason in ("max_tokens", "end_turn")
    assert 0 < answer.usage.output_tokens <= TOKENS


def messages_stream() -> None:
    with client.messages.stream(**asked) as stream:
        pieces = list(stream.text_stream)
        answer = stream.get_final_message()
    assert len(pieces) > 2
    assert answer.content[0].text == "".join(pieces)
    assert answer.stop_reason in ("max_tokens", "end_turn")
    assert 0 < answer.usage.output_tokens <= TOKENS


def count_tokens() -> None:
    short = client.messages.count_tokens(model=MODEL, messages=messages).input_tokens
    system = "You are a teller of tales who never says more than one sentence. " * 4
    assert 0 < short < client.messages.count_tokens(model=MODEL, messages=messages, system=system).input_tokens


def tools() -> None:
    answer = client.messages.create(tools=[tool], **asked)
    assert {block.type for block in answer.content} <= {"text", "tool_use"}
    used = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny."}
    told = [*messages, {"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    assert client.messages.create(**asked | {"messages": told}, tools=[tool]).type == "message"


def unknown_model() -> None:
    asking = asked | {"model": NOBODY}
    error = refusal(anthropic.NotFoundError, lambda: client.messages.create(**asking))
    assert error.body["error"]["type"] == "not_found_error"


run(messages_create, messages_stream, count_tokens, tools, unknown_model)
