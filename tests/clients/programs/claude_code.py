"""Claude Code in print mode, without tools: a small model cannot use them."""

import json

from steps import MODEL, URL, command, run

PLAIN = ("claude", "--bare", "--system-prompt", "You are a helpful assistant.", "--tools", "", "--model", MODEL)
ENVIRONMENT = {
    "ANTHROPIC_BASE_URL": URL,
    "ANTHROPIC_API_KEY": "any",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "200",
}


def claude(*words: str) -> str:
    return command(*PLAIN, *words, "--print", "Hi", tries=5, **ENVIRONMENT)


def print_text() -> None:
    assert claude().strip()


def print_json() -> None:
    said = json.loads(claude("--output-format", "json"))
    assert (said["type"], said["is_error"]) == ("result", False), said["result"]
    assert said["result"]
    assert said["usage"]["input_tokens"] > 0
    assert said["usage"]["output_tokens"] > 0


def print_stream() -> None:
    words = ("--output-format", "stream-json", "--verbose", "--include-partial-messages")
    *events, last = map(json.loads, claude(*words).splitlines())
    kinds = [event["event"]["type"] for event in events if event["type"] == "stream_event"]
    assert kinds[0] == "message_start"
    assert "content_block_delta" in kinds
    assert kinds[-1] == "message_stop"
    assert (last["type"], last["is_error"]) == ("result", False)


run(print_text, print_json, print_stream)
