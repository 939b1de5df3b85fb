"""Anthropic's client, and OpenAI's asking for responses, in front of real llama.cpp servers."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from e2e.fleet import MODEL, Fleet

pytestmark = pytest.mark.real_engine

MESSAGES: Any = [{"role": "user", "content": "Tell me a story about a fox."}]
ASKED: Any = {"model": MODEL, "max_tokens": 24, "messages": MESSAGES, "extra_body": {"temperature": 0}}
EXACT: Any = {"model": MODEL, "max_tokens": 24, "messages": MESSAGES, "temperature": 0}


@pytest.fixture
def client(fleet: Fleet) -> Iterator[anthropic.Anthropic]:
    http = httpx2.Client(trust_env=False)
    with anthropic.Anthropic(base_url=fleet.url, api_key="any", http_client=http, max_retries=0) as made:
        yield made


def test_a_message_says_what_the_engine_says_in_its_own_dialect(
    client: anthropic.Anthropic, direct: httpx.Client, fleet: Fleet
) -> None:
    raw = client.messages.with_raw_response.create(**ASKED)
    told = raw.parse()
    own = direct.post("/v1/messages", json=EXACT).json()
    assert [block.to_dict() for block in told.content] == own["content"]
    assert (told.stop_reason, told.usage.output_tokens) == ("max_tokens", 24)
    trace = fleet.trace(raw.headers["x-request-id"])
    assert "dialect.translated" not in (trace["notes"] or ())
    assert trace["completion_tokens"] == 24
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    assert counted.input_tokens == trace["prompt_tokens"]


def test_a_streamed_message_says_the_same_piece_by_piece(client: anthropic.Anthropic, direct: httpx.Client) -> None:
    with client.messages.stream(**ASKED) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    own = direct.post("/v1/messages", json=EXACT).json()
    assert "".join(pieces) == own["content"][0]["text"]
    assert len(pieces) > 10
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 24)


def test_a_claude_that_nobody_has_is_not_found(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude-sonnet-4-5", max_tokens=5, messages=MESSAGES)


def test_responses_say_what_the_engines_chat_says(openai_client: openai.OpenAI, direct: httpx.Client) -> None:
    own = direct.post("/v1/chat/completions", json=EXACT).json()["choices"][0]["message"]["content"]
    asked: Any = {"model": MODEL, "input": MESSAGES, "temperature": 0, "max_output_tokens": 24}
    told = openai_client.responses.create(**asked)
    assert told.output_text == own
    assert (told.status, told.usage and told.usage.output_tokens) == ("incomplete", 24)
    with openai_client.responses.stream(**asked) as stream:
        events = list(stream)
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    last = events[-1]
    assert last.type == "response.incomplete"
    assert "".join(pieces) == last.response.output_text == own
    assert len(pieces) > 10
