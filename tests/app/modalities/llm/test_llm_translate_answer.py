"""An OpenAI answer for a client that speaks Ollama: every field of Ollama's, whatever the pieces, honest ends."""

import json
from typing import Any

import ollama
import pytest
from golden.kept import OPENAI_ONLY, call, cuts, golden, job, read, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import StreamBroken
from app.fleet.job import Meter

SSE = golden("answer-llama-chat.sse")
USER = [{"role": "user", "content": "Hi"}]
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
COUNTS = ("prompt_eval_count", "eval_count")


def meter(path: str = "/api/chat", *, stream: bool = True, messages: Any = USER, **fields: Any) -> Meter:
    body = {"model": "smollm2:135m", "messages": messages, "prompt": "Hi", "stream": stream, **fields}
    return call(path, body, OPENAI_ONLY).meter


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def lines(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


DONE = b"data: [DONE]\n\n"
TEXTS = {
    "llama": SSE,
    "no done": SSE.removesuffix(DONE),
    "unended": SSE.rstrip(),
    "crlf": SSE.replace(b"\n", b"\r\n"),
    "broken": SSE[:-300],
    "error": event({"content": "a"}) + b'data: {"error": {"message": "oom"}}\n\n' + event({"content": "b"}) + DONE,
    "error first": b'data: {"error": {"message": "oom"}}\n\n',
    "plain error": b'{"error": {"message": "oom"}}\n',
    "html": b"<html>\n\n</html>\n\n",
    "empty": b"",
    "silence": event({"role": "assistant", "content": None}) + event({}, "stop") + DONE,
    "chatter after the end": SSE + SSE,
}


def test_a_rich_stream_is_translated_as_recorded_byte_for_byte() -> None:
    one = meter()
    assert read(one, [SSE]) == golden("returned-llama-chat.ndjson")
    assert one.complete
    assert one.content_type == "application/x-ndjson"
    assert (one.usage.prompt_tokens, one.usage.completion_tokens, one.usage.cached_tokens) == (34, 5, 30)
    assert (one.usage.prefill_s, one.usage.decode_s, one.usage.finish_reason) == (0.0205, 0.05025, "stop")


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(TEXTS)), st.sampled_from(["/api/chat", "/api/generate"]))
def test_however_an_answer_is_cut_output_and_metering_are_the_same(data: st.DataObject, which: str, path: str) -> None:
    whole, cut = meter(path), meter(path)
    expected = read(whole, [TEXTS[which]])
    assert read(cut, data.draw(cuts(TEXTS[which]))) == expected
    assert seen(cut) == seen(whole)


def test_nothing_goes_on_before_the_first_token_so_that_another_node_may_still_answer() -> None:
    one = meter()
    assert one.feed(event({"role": "assistant", "content": None}) + b": ping\n\n" + event({"content": ""})) == b""
    assert lines(one.feed(event({"content": "a"})))[0]["message"] == {"role": "assistant", "content": "a"}


@pytest.mark.parametrize("which", ["error first", "plain error", "html", "empty"])
def test_an_answer_that_is_none_is_refused_before_a_byte_goes_on(which: str) -> None:
    for path in ("/api/chat", "/api/generate"):
        for stream in (True, False):
            one = meter(path, stream=stream)
            assert read(one, [TEXTS[which]]) == b""
            assert one.refusal
            assert not one.complete


def test_an_error_in_the_middle_is_the_last_line() -> None:
    one = meter()
    told = lines(read(one, [TEXTS["error"]]))
    assert told[-1] == {"error": "oom"}
    assert [line.get("message", {}).get("content") for line in told] == ["a", None]
    assert (one.complete, one.failed) == (False, "oom")


def test_a_stream_without_an_end_gets_none_made_up() -> None:
    one = meter()
    told = lines(read(one, [event({"content": "a"}), b'data: {"choices": [{"del']))
    assert [line["done"] for line in told] == [False]
    assert not one.complete


def test_an_event_that_is_no_json_breaks_the_stream() -> None:
    one = meter()
    one.feed(event({"content": "a"}))
    with pytest.raises(StreamBroken):
        one.feed(b"data: nonsense\n\n")
    with pytest.raises(StreamBroken):
        meter().feed(b'data: {"choices": 5}\n\n')


def test_ollamas_own_client_reads_every_line() -> None:
    for line in lines(golden("returned-llama-chat.ndjson")):
        ollama.ChatResponse.model_validate(line)
    last = lines(read(meter("/api/generate", stream=False), [b'{"choices":[{"message":{"content":"a"}}]}']))[-1]
    assert ollama.GenerateResponse.model_validate(last).response == "a"


def test_nothing_follows_the_last_line() -> None:
    told = lines(read(meter(), [TEXTS["chatter after the end"]]))
    assert [line["done"] for line in told].index(True) == len(told) - 1


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("stream", [True, False])
def test_the_last_record_has_every_field_of_ollamas(path: str, stream: bool) -> None:
    if stream:
        text = event({"content": "a"}) + event({}, "length") + DONE
    else:
        text = b'{"choices":[{"message":{"content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":3}}'
    last = lines(read(meter(path, stream=stream), [text]))[-1]
    assert list(last)[:2] == ["model", "created_at"]
    assert last["created_at"] == "2026-11-24T02:51:00.250000Z"
    assert (last["model"], last["done"], last["done_reason"]) == ("smollm2:135m", True, "length")
    assert all(type(last[field]) is int and last[field] >= 0 for field in (*DURATIONS, *COUNTS))
    assert ("response" in last, "message" in last) == (path == "/api/generate", path == "/api/chat")


def test_what_the_engine_does_not_measure_the_router_does() -> None:
    ticks = iter([10.0, 10.5, 12.0])
    made = job("/api/chat", {"model": "smollm2:135m", "messages": USER}, timer=lambda: next(ticks))
    last = lines(read(made.prepare(OPENAI_ONLY).meter, [event({"content": "a"}) + event({}, "stop") + DONE]))[-1]
    assert [last[field] for field in DURATIONS] == [2_000_000_000, 0, 500_000_000, 1_500_000_000]


def test_a_whole_answer_keeps_text_thinking_tool_calls_and_logprobs() -> None:
    message = {"role": "assistant", "content": "é", "reasoning_content": "hm", "tool_calls": [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}}]}  # fmt: skip
    chances = [{"token": "é", "logprob": -1.5}]
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls", "logprobs": {"content": chances}}]}
    one = meter(stream=False)
    out = read(one, [json.dumps(answer).encode()])
    told = json.loads(out)
    assert told["message"]["content"] == "é"
    assert told["message"]["thinking"] == "hm"
    assert told["message"]["tool_calls"] == [
        {"id": "t", "function": {"index": 0, "name": "f", "arguments": {"x": 1.0}}}
    ]
    assert b'{"x": 1.0}' in out
    assert told["logprobs"] == chances
    assert told["done_reason"] == "stop"
    assert one.content_type == "application/json"


def test_a_completion_becomes_a_response_with_the_older_logprobs() -> None:
    chances = {"tokens": ["a", "b"], "token_logprobs": [-1.0, None], "top_logprobs": [{"a": -1.0, "c": -2.0}, None]}
    answer = {"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": chances}], "usage": {"prompt_tokens": 2}}
    told = json.loads(read(meter("/api/generate", stream=False, raw=True), [json.dumps(answer).encode()]))
    assert told["response"] == "ab"
    assert told["prompt_eval_count"] == 2
    top = [{"token": "a", "logprob": -1.0}, {"token": "c", "logprob": -2.0}]
    assert told["logprobs"] == [{"token": "a", "logprob": -1.0, "top_logprobs": top}, {"token": "b", "logprob": None}]


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    calls = [{"index": 0, "id": "t", "function": {"name": "f", "arguments": '{"x": '}}]
    told = lines(read(meter(), [event({"tool_calls": calls}) + event({}, "tool_calls") + DONE]))
    assert told[0]["message"]["tool_calls"][0]["function"]["arguments"] == {"_raw": '{"x": '}


def test_tool_calls_come_in_their_own_order_whichever_began_first() -> None:
    later = [{"index": 1, "function": {"name": "g", "arguments": "{}"}}]
    first = [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]
    text = event({"tool_calls": later}) + event({"tool_calls": first}) + event({}, "tool_calls") + DONE
    [calls] = [
        line["message"]["tool_calls"] for line in lines(read(meter(), [text])) if "tool_calls" in line["message"]
    ]
    assert [one["function"]["name"] for one in calls] == ["f", "g"]


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    pieces = [
        [{"id": "a", "function": {"name": "f", "arguments": '{"x"'}}],
        [{"function": {"arguments": ": 1}"}}],
        [{"id": "b", "function": {"name": "g", "arguments": {"y": 2}}}],
    ]
    text = b"".join(event({"tool_calls": piece}) for piece in pieces) + event({}, "tool_calls") + DONE
    calls = lines(read(meter(), [text]))[0]["message"]["tool_calls"]
    assert [one["function"]["arguments"] for one in calls] == [{"x": 1}, {"y": 2}]


PREFILL = [*USER, {"role": "assistant", "content": "1. One\n2. "}]


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("1. One\n2. Two", "Two"),
        ("1. One\n2.\nTwo", "\nTwo"),
        ("1. One\n2. ", ""),
        ("1. One\n2.", ""),
        ("Two", "Two"),
        ("1. Once", "1. Once"),
        ("1.", "1."),
        ("", ""),
    ],
)
def test_a_repeated_prefill_is_taken_off_once_in_whatever_pieces_it_comes(reply: str, shown: str) -> None:
    whole = {"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]}
    told = json.loads(read(meter(stream=False, messages=PREFILL), [json.dumps(whole).encode()]))
    assert told["message"]["content"] == shown
    for step in (1, 3, 100):
        pieces = [event({"content": reply[at : at + step]}) for at in range(0, len(reply), step)]
        told_lines = lines(read(meter(messages=PREFILL), [*pieces, event({}, "stop"), DONE]))
        assert "".join(line["message"]["content"] for line in told_lines) == shown
        assert told_lines[-1]["done"]


def test_a_repeated_start_is_left_alone_when_nothing_was_prefilled() -> None:
    whole = {"choices": [{"message": {"content": "Hi, Hi"}, "finish_reason": "stop"}]}
    assert json.loads(read(meter(stream=False), [json.dumps(whole).encode()]))["message"]["content"] == "Hi, Hi"


names = st.text(min_size=1, max_size=12)
arguments = st.dictionaries(
    st.text(max_size=6), st.none() | st.integers() | st.text(max_size=20) | st.lists(st.booleans())
)
tool_calls = st.lists(st.tuples(names, names, arguments), max_size=4, unique_by=lambda made: made[0])


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), tool_calls, st.sampled_from(["stop", "length"]), st.data())
def test_a_message_survives_the_way_there_and_back(
    content: str, thinking: str, calls: list[tuple[str, str, dict[str, Any]]], reason: str, data: st.DataObject
) -> None:
    made = [{"id": made, "function": {"name": name, "arguments": args}} for made, name, args in calls]
    message = {"role": "assistant", "content": content, "thinking": thinking, "tool_calls": made}
    body = {"model": "smollm2:135m", "messages": [message, *USER]}
    there = json.loads(call("/api/chat", body, OPENAI_ONLY).body)["messages"][0]

    answer = {"choices": [{"message": there, "finish_reason": reason}]}
    back = json.loads(read(meter(stream=False), [json.dumps(answer).encode()]))
    check(back["message"], message, back["done_reason"], reason)

    delta = {**there, "tool_calls": [{"index": at, **one} for at, one in enumerate(there.get("tool_calls", []))]}
    text = event(delta) + event({}, reason) + DONE
    told = lines(read(meter(), data.draw(cuts(text))))
    parts = [line["message"] for line in told]
    joined = {
        "content": "".join(part["content"] for part in parts),
        "thinking": "".join(part.get("thinking", "") for part in parts),
        "tool_calls": [one for part in parts for one in part.get("tool_calls", [])],
    }
    check(joined, message, told[-1]["done_reason"], reason)


def check(back: dict[str, Any], message: dict[str, Any], told: str, reason: str) -> None:
    assert back["content"] == message["content"]
    assert back.get("thinking", "") == message["thinking"]
    calls = [{"id": one["id"], "function": dict(one["function"])} for one in back.get("tool_calls", [])]
    for one in calls:
        one["function"].pop("index")
    assert calls == message["tool_calls"]
    assert told == reason
