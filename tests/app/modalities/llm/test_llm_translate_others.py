"""Anthropic's Messages and OpenAI's Responses for an engine that speaks only OpenAI's chat, there and back."""

import json
from typing import Any

import pytest
from golden.kept import OPENAI_ONLY, call, cuts, golden, read, route, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BodyInvalid
from app.fleet.job import Call, Meter
from app.modalities.llm.dialects import anthropic, responses
from node.wire import ModelReport

MODEL = "smollm2:135m"
USER = [{"role": "user", "content": "Hi"}]
SSE = golden("answer-llama-chat.sse")
DONE = b"data: [DONE]\n\n"
PATHS = {"messages": "/v1/messages", "responses": "/v1/responses"}
NATIVE = route(dialects=("ollama", "openai", "anthropic", "responses"))
ERROR = SSE[: SSE.index(b"\n\n") + 2] + b'data: {"error":{"message":"out of memory","code":500}}\n\n'


def messages(way: Any = OPENAI_ONLY, **fields: Any) -> Call:
    return call("/v1/messages", {"model": MODEL, "max_tokens": 9, "messages": USER, **fields}, way)


def respond(way: Any = OPENAI_ONLY, **fields: Any) -> Call:
    return call("/v1/responses", {"model": MODEL, "input": "Hi", **fields}, way)


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def events(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.decode().split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize("name", PATHS)
def test_a_rich_request_goes_on_as_recorded_byte_for_byte_either_way(name: str) -> None:
    native = call(PATHS[name], golden(f"request-{name}.json"), NATIVE)
    assert (native.body, native.path) == (golden(f"forwarded-{name}.json"), PATHS[name])
    translated = call(PATHS[name], golden(f"request-{name}.json"), OPENAI_ONLY)
    assert (translated.body, translated.path) == (golden(f"translated-{name}.json"), "/v1/chat/completions")
    assert "dialect.translated" in translated.notes
    assert "fields.dropped a_field_of_tomorrow" in translated.notes
    assert "tools.dropped web_search" in translated.notes


@pytest.mark.parametrize("name", PATHS)
def test_an_answer_comes_back_as_recorded_byte_for_byte(name: str) -> None:
    meter = call(PATHS[name], golden(f"request-{name}.json")).meter
    assert read(meter, [SSE]) == golden(f"returned-llama-chat.{name}.sse")
    assert meter.complete
    assert (meter.usage.prompt_tokens, meter.usage.cached_tokens, meter.usage.completion_tokens) == (34, 30, 5)


ANSWERS = [SSE, SSE[:-100], SSE.replace(b"\n", b"\r\n"), SSE.rstrip(), ERROR, b"<html>\n\n</html>", b"", SSE[:900]]


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(ANSWERS), st.sampled_from(sorted(PATHS)))
def test_however_an_answer_is_cut_output_and_metering_are_the_same(data: st.DataObject, text: bytes, name: str) -> None:
    whole, meter = (call(PATHS[name], golden(f"request-{name}.json")).meter for _ in range(2))
    expected = read(whole, [text])
    assert read(meter, data.draw(cuts(text))) == expected
    assert seen(meter) == seen(whole)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(PATHS)), st.integers(0, 400))
def test_however_a_native_answer_is_cut_it_passes_untouched_and_is_metered_the_same(
    data: st.DataObject, name: str, short: int
) -> None:
    text = golden(f"returned-llama-chat.{name}.sse")
    text = text[: len(text) - short]
    kind = anthropic.StreamMeter if name == "messages" else responses.StreamMeter
    whole, meter = kind(), kind()
    expected = read(whole, [text])
    assert read(meter, data.draw(cuts(text))) == expected
    assert expected == text or short
    assert seen(meter) == seen(whole)
    assert whole.complete == (short <= len("\n\n"))


def ended(meter: Meter, text: bytes) -> tuple[list[dict[str, Any]], Meter]:
    return events(read(meter, [text])), meter


@pytest.mark.parametrize(
    ("finish", "more", "reason", "stop", "status"),
    [
        ("stop", {}, "end_turn", None, "completed"),
        ("length", {}, "max_tokens", None, "incomplete"),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END", "completed"),
        ("stop", {"stop_reason": 128009}, "end_turn", None, "completed"),
        ("content_filter", {}, "refusal", None, "incomplete"),
    ],
)
def test_each_end_has_its_word(finish: str, more: dict[str, Any], reason: str, stop: str | None, status: str) -> None:
    text = event({"content": "a"}) + event({}, finish, **more) + DONE
    told, meter = ended(messages(stream=True, stop_sequences=["END"]).meter, text)
    assert told[-2]["delta"] == {"stop_reason": reason, "stop_sequence": stop}
    assert meter.usage.finish_reason == reason
    told, _ = ended(respond(stream=True).meter, text)
    assert told[-1]["type"] == f"response.{status}"
    assert told[-1]["response"]["status"] == status
    whole = {"choices": [{"message": {"content": "a"}, "finish_reason": finish, **more}]}
    answer = json.loads(read(messages(stop_sequences=["END"]).meter, [json.dumps(whole).encode()]))
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, stop)
    assert json.loads(read(respond().meter, [json.dumps(whole).encode()]))["status"] == status


def test_an_answer_without_its_end_gets_none_and_an_error_is_the_last_word() -> None:
    for made in (messages(stream=True), respond(stream=True)):
        told, meter = ended(made.meter, event({"content": "a"}))
        assert not meter.complete
        assert told[-1]["type"] not in ("message_stop", "response.completed")
    told, meter = ended(messages(stream=True).meter, event({"content": "a"}) + ERROR[ERROR.index(b"\n\n") + 2 :])
    assert told[-1] == {"type": "error", "error": {"type": "api_error", "message": "out of memory"}}
    assert (meter.failed, meter.complete) == ("out of memory", False)
    told, meter = ended(respond(stream=True).meter, event({"content": "a"}) + ERROR[ERROR.index(b"\n\n") + 2 :])
    assert [one["type"] for one in told[-2:]] == ["error", "response.failed"]
    assert told[-1]["response"]["error"] == {"code": "server_error", "message": "out of memory"}
    assert [one["sequence_number"] for one in told] == list(range(len(told)))


def test_an_answer_of_nothing_is_still_a_whole_one() -> None:
    told, _ = ended(messages(stream=True).meter, event({}, "stop") + DONE)
    assert [one["type"] for one in told] == ["message_start", "message_delta", "message_stop"]
    told, _ = ended(respond(stream=True).meter, event({}, "stop") + DONE)
    assert [one["type"] for one in told] == ["response.created", "response.in_progress", "response.completed"]


def test_thinking_is_shown_to_anthropics_clients_that_asked_for_it_only() -> None:
    text = event({"reasoning_content": "Hm."}) + event({"content": "a"}) + event({}, "stop") + DONE
    for thinking, kinds in (
        (None, ["text"]),
        ({"type": "disabled"}, ["text"]),
        ({"type": "enabled"}, ["thinking", "text"]),
    ):
        told, _ = ended(messages(stream=True, thinking=thinking).meter, text)
        assert [one["content_block"]["type"] for one in told if one["type"] == "content_block_start"] == kinds


def test_a_begun_answer_that_the_engine_repeats_is_not_repeated_to_the_client() -> None:
    begun = [*USER, {"role": "assistant", "content": "1. One"}]
    told, _ = ended(messages(stream=True, messages=begun).meter, event({"content": "1. One, two"}) + event({}, "stop"))
    assert "".join(one["delta"]["text"] for one in told if one["type"] == "content_block_delta") == ", two"


def test_what_a_client_or_a_model_wrote_over_several_lines_stays_one_record() -> None:
    pretty = json.dumps(
        {"model": MODEL, "input": "Hi", "stream": True, "tools": [{"type": "function", "name": "f"}]}, indent=1
    )
    out = read(call("/v1/responses", pretty.encode()).meter, [event({"content": "a"}) + event({}, "stop") + DONE])
    assert all(line.startswith((b"data: {", b"event: ")) for line in out.splitlines() if line)
    calls = [{"index": 0, "id": "t", "function": {"name": "f", "arguments": '{\n "x":\r\n 1}'}}]
    body = {"model": MODEL, "messages": USER}
    lines = read(call("/api/chat", body).meter, [event({"tool_calls": calls}) + event({}, "tool_calls") + DONE])
    assert all(json.loads(line) for line in lines.splitlines())


def test_one_system_message_stands_first_whoever_said_what_is_in_it() -> None:
    said = [{"role": "developer", "content": "Be exact."}, {"role": "system", "content": "Now."}, *USER]
    sent = json.loads(respond(input=said, instructions="Help.").body)
    assert sent["messages"] == [{"role": "system", "content": "Help.\nBe exact.\nNow."}, *USER]


TOOLS: list[Any] = [{"name": "f", "input_schema": {"type": "object"}}]
FUNCTIONS: list[Any] = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]


@pytest.mark.parametrize(
    ("anthropics", "openais", "sent"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any"}, "required", "required"),
        (
            {"type": "tool", "name": "f"},
            {"type": "function", "name": "f"},
            {"type": "function", "function": {"name": "f"}},
        ),
    ],
)
def test_a_forced_tool_is_forced_or_said_to_an_engine_that_cannot_be_forced(
    anthropics: Any, openais: Any, sent: Any
) -> None:
    old = route(dialects=("ollama", "openai"))
    for made in (messages(tools=TOOLS, tool_choice=anthropics), respond(tools=FUNCTIONS, tool_choice=openais)):
        assert json.loads(made.body).get("tool_choice") == sent
    for made in (
        messages(old, tools=TOOLS, tool_choice=anthropics),
        respond(old, tools=FUNCTIONS, tool_choice=openais),
    ):
        told = json.loads(made.body)
        assert "tool_choice" not in told
        assert ("tool_choice.said" in made.notes) == (sent is not None)
        assert (told["messages"][0]["role"] == "system") == (sent is not None)
    for made in (messages(tools=TOOLS, tool_choice={"type": "none"}), respond(tools=FUNCTIONS, tool_choice="none")):
        assert "tools" not in json.loads(made.body)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/messages", {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
        (
            "/v1/messages",
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}},
        ),
        ("/v1/responses", {"type": "input_image", "file_id": "f1"}),
        ("/v1/responses", {"type": "input_file", "file_data": "x"}),
    ],
)
def test_what_no_words_of_chat_can_say_is_refused_where_it_is_translated_only(path: str, content: Any) -> None:
    turn = [{"role": "user", "content": [content]}]
    body = {"model": MODEL, "messages": turn, "input": turn}
    assert json.loads(call(path, body, NATIVE).body) == body
    with pytest.raises(BodyInvalid):
        call(path, body, OPENAI_ONLY)


@pytest.mark.parametrize(
    "turn",
    [
        [{"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}],
        [{"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}],
        [{"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}]}],
        [{"type": "document", "source": {"type": "content", "content": [
            {"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/"}}]}}],
        [{"type": "input_image", "image_url": "http://10.0.0.1/"}],
        [{"type": "input_file", "file_url": "http://10.0.0.1/"}],
    ],
)  # fmt: skip
def test_nothing_is_ever_fetched_for_a_request(turn: list[Any]) -> None:
    path = "/v1/responses" if turn[0]["type"].startswith("input") else "/v1/messages"
    said = [{"role": "user", "content": turn}]
    outputs = [{"type": "function_call_output", "call_id": "t", "output": turn}]
    for told in (said, outputs) if path == "/v1/responses" else (said,):
        with pytest.raises(BodyInvalid, match="nothing is fetched"):
            call(path, {"model": MODEL, "messages": told, "input": told}, NATIVE)


names = st.text(min_size=1, max_size=12)
arguments = st.dictionaries(st.text(max_size=6), st.none() | st.integers() | st.text(max_size=20))
tool_calls = st.lists(st.tuples(names, names, arguments), max_size=4, unique_by=lambda made: made[0])


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), tool_calls, st.data())
def test_a_turn_survives_the_way_there_and_back(
    text: str, thinking: str, calls: list[tuple[str, str, dict[str, Any]]], data: st.DataObject
) -> None:
    uses = [{"type": "tool_use", "id": made, "name": name, "input": args} for made, name, args in calls]
    turn = [{"type": "thinking", "thinking": thinking, "signature": ""}] if thinking else []
    turn += [{"type": "text", "text": text}] if text else []
    turn += uses
    sent = messages(messages=[*USER, {"role": "assistant", "content": turn}, *USER])
    there = json.loads(sent.body)["messages"][1] if turn else {"content": ""}
    whole = {"choices": [{"message": there, "finish_reason": "tool_calls" if calls else "stop"}]}
    back = json.loads(read(messages(thinking={"type": "enabled"}).meter, [json.dumps(whole).encode()]))
    assert back["content"] == turn
    assert back["stop_reason"] == ("tool_use" if calls else "end_turn")

    pieces = [event({"reasoning_content": there.get("reasoning_content")}), event({"content": there["content"]})]
    pieces += [event({"tool_calls": [{"index": at, **one}]}) for at, one in enumerate(there.get("tool_calls", []))]
    stream = b"".join(pieces) + event({}, "stop") + DONE
    out = read(messages(stream=True, thinking={"type": "enabled"}).meter, data.draw(cuts(stream)))
    assert _joined(events(out)) == turn

    out = read(respond(stream=True).meter, data.draw(cuts(stream)))
    items = events(out)[-1]["response"]["output"]
    again = json.loads(respond(input=[*USER_ITEMS, *items, *USER_ITEMS]).body)["messages"][1:-1]
    told = {
        "text": "".join(one["content"] for one in again),
        "calls": [c for one in again for c in one.get("tool_calls", [])],
    }
    assert told == {"text": text, "calls": there.get("tool_calls", [])}


USER_ITEMS = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]


def _joined(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a message, as a client puts them together."""
    blocks: list[dict[str, Any]] = []
    arguments = ""
    for one in told:
        if one["type"] == "content_block_start":
            blocks.append(dict(one["content_block"]))
            assert one["index"] == len(blocks) - 1
            arguments = ""
        elif one["type"] == "content_block_delta":
            for key in ("text", "thinking"):
                if key in one["delta"]:
                    blocks[-1][key] += one["delta"][key]
            arguments += one["delta"].get("partial_json", "")
        elif one["type"] == "content_block_stop" and arguments:
            blocks[-1]["input"] = json.loads(arguments)
    return blocks


def test_a_model_by_another_name_is_told_to_the_engine_as_it_knows_it() -> None:
    way = route("Qwen/Qwen3-8B", "openai", ("openai",), how="fallback")
    assert way.model == ModelReport(name="Qwen/Qwen3-8B")
    for made in (messages(way), respond(way)):
        assert json.loads(made.body)["model"] == "Qwen/Qwen3-8B"
