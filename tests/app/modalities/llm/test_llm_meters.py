"""Meters over native answers: the bytes go on untouched, and what they cost is read off their ends."""

import json

import msgspec
import pytest
from golden.kept import cuts, golden, read, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dialects import ollama_error, openai_error
from app.errors import EngineFailed, HerdError, ModelAbsent, StreamBroken
from app.fleet.job import Meter, Usage
from app.modalities.llm.dialects import ollama, openai

NDJSON = golden("answer-ollama-chat.ndjson")
SSE = golden("answer-llama-chat.sse")
WITHOUT_USAGE = golden("returned-llama-chat.sse")
DONE = b"data: [DONE]\n\n"
CRLF = SSE.replace(b"\n", b"\r\n")
BROKEN = SSE[:-100]
COST = Usage(
    prompt_tokens=34, completion_tokens=5, cached_tokens=30, prefill_s=0.0205, decode_s=0.05025,
    finish_reason="tool_calls",
)  # fmt: skip
ERROR_LINE = NDJSON[: NDJSON.index(b"\n") + 1] + b'{"error":"out of memory"}\n'
ERROR_EVENT = SSE[: SSE.index(b"\n\n") + 2] + b'data: {"error":{"message":"out of memory","code":500}}\n\n'


def meters() -> list[tuple[Meter, bytes]]:
    return [
        (ollama.StreamMeter(), NDJSON),
        (ollama.StreamMeter(), ERROR_LINE),
        (ollama.StreamMeter(), NDJSON[:-300]),
        (ollama.StreamMeter(), NDJSON.rstrip()),
        (ollama.StreamMeter(), b"\n\n" + NDJSON + b"\n\n"),
        (ollama.StreamMeter(), b"<html>\n<body>\n</html>\n"),
        (openai.StreamMeter(drop_usage=False), SSE),
        (openai.StreamMeter(drop_usage=True), SSE),
        (openai.StreamMeter(drop_usage=True), CRLF),
        (openai.StreamMeter(drop_usage=True), BROKEN),
        (openai.StreamMeter(drop_usage=True), b": wait\n\n: wait\n\n" + SSE.rstrip()),
        (openai.StreamMeter(drop_usage=False), ERROR_EVENT),
        (openai.StreamMeter(drop_usage=False), b"<html>\n\n<body>\n\n</html>\n\n"),
        (openai.StreamMeter(drop_usage=False), b'{"error": {"message": "oom"}}'),
        (ollama.WholeMeter(), NDJSON.splitlines()[-1]),
        (openai.WholeMeter(), b'{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'),
    ]


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, len(meters()) - 1))
def test_however_an_answer_is_cut_output_and_metering_are_the_same(data: st.DataObject, which: int) -> None:
    whole, text = meters()[which]
    expected = read(whole, [text])
    meter = meters()[which][0]
    assert read(meter, data.draw(cuts(text))) == expected
    assert seen(meter) == seen(whole)


@pytest.mark.parametrize("which", range(len(meters())))
def test_byte_by_byte_is_a_cut_too(which: int) -> None:
    whole, text = meters()[which]
    meter = meters()[which][0]
    assert read(meter, [bytes([byte]) for byte in text]) == read(whole, [text])
    assert seen(meter) == seen(whole)


def test_an_ollama_stream_passes_untouched_and_its_last_line_is_read() -> None:
    meter = ollama.StreamMeter()
    assert read(meter, [NDJSON]) == NDJSON
    assert meter.complete
    assert meter.usage == Usage(
        prompt_tokens=7, completion_tokens=3, load_s=0.001, prefill_s=0.002, decode_s=0.003, finish_reason="stop"
    )


def test_an_openai_stream_passes_untouched_or_without_the_usage_nobody_asked_for() -> None:
    plain, dropping = openai.StreamMeter(drop_usage=False), openai.StreamMeter(drop_usage=True)
    assert read(plain, [SSE]) == SSE
    assert read(dropping, [SSE]) == WITHOUT_USAGE
    assert seen(plain) == seen(dropping) == (True, None, None, COST)


def test_only_an_event_that_does_nothing_but_report_usage_is_taken_out() -> None:
    kept = [
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        b'data: {"choices":[{"delta":{"content":"a","x":{"choices":[]}}}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"x":{"choices":[]},"usage":{"prompt_tokens":1}}\n\n',
    ]
    meter = openai.StreamMeter(drop_usage=True)
    dropped = b'data: {"usage":{"prompt_tokens":9},"choices": [ ]}\n\n'
    assert read(meter, [b"".join(kept) + dropped + DONE]) == b"".join(kept) + DONE
    assert meter.usage.prompt_tokens == 9


@pytest.mark.parametrize("nothing", [b"null", b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'])
def test_where_asking_for_usage_puts_none_into_every_event_it_is_taken_out_of_each(nothing: bytes) -> None:
    word = b'data: {"choices":[{"text":"\\",\\"usage\\":null"}],"model":"m"%s}\n\n'
    last = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\n'
    asked = [word % (b',"usage":' + nothing)] * 2 + [last, DONE]
    meter = openai.StreamMeter(drop_usage=True)
    assert read(meter, asked) == word % b"" * 2 + DONE
    assert (meter.usage.prompt_tokens, meter.usage.completion_tokens) == (9, 2)
    assert read(openai.StreamMeter(drop_usage=False), asked) == b"".join(asked)


def test_a_last_record_without_its_end_of_line_gets_one() -> None:
    begun = b'{"message":{"content":"a"},"done":false}'
    assert read(ollama.StreamMeter(), [begun]) == begun + b"\n"
    event = b'data: {"choices":[{"delta":{"content":"a"}}]}'
    assert read(openai.StreamMeter(drop_usage=False), [event]) == event + b"\n\n"


def test_only_whole_records_go_on_so_that_an_error_may_follow_at_any_time() -> None:
    for meter, text, end in (
        (ollama.StreamMeter(), NDJSON, b"\n"),
        (openai.StreamMeter(drop_usage=False), SSE, b"\n\n"),
        (openai.StreamMeter(drop_usage=True), SSE, b"\n\n"),
    ):
        out = b""
        for at in range(len(text)):
            out += meter.feed(text[at : at + 1])
            assert not out or out.endswith(end)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b" \n\n", b"<html>busy</html>", b"<html>\n\nbusy</html>\n\n", b'{"error":"out of memory"}\n', b"[1]\n",
        b"5", b'{"error":{"message":"out of memory"}}',
        b'data: {"error":{"message":"out of memory"}}\n\n', b"\xff\xfe\n\n",
        b'error: {"message":"out of memory"}\n\n', b"data: nonsense\n\n", b": ping\n\n", b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused_before_a_byte_goes_on(answer: bytes) -> None:
    stream: list[Meter] = [openai.StreamMeter(drop_usage=False), openai.StreamMeter(drop_usage=True)]
    lines: list[Meter] = [ollama.StreamMeter(), ollama.WholeMeter(), openai.WholeMeter()]
    for meter in [*stream, *lines]:
        assert read(meter, [answer]) == b""
        assert meter.refusal
        assert not meter.complete
        if meter in stream and b"out of memory" in answer:
            assert meter.refusal == "out of memory"


def test_an_error_record_after_the_first_goes_on_and_is_the_end() -> None:
    for meter, text in ((ollama.StreamMeter(), ERROR_LINE), (openai.StreamMeter(drop_usage=True), ERROR_EVENT)):
        assert read(meter, [text]) == text
        assert seen(meter)[:3] == (False, None, "out of memory")
    for meter, text in (
        (ollama.StreamMeter(), ERROR_LINE.removesuffix(b"}\n") + b',"done":true}\n'),
        (openai.StreamMeter(drop_usage=True), ERROR_EVENT + DONE),
    ):
        assert read(meter, [text]) == text
        assert seen(meter)[:3] == (False, None, "out of memory")


def test_a_stream_without_its_end_is_incomplete_and_shows_no_half_record() -> None:
    lines = ollama.StreamMeter()
    out = read(lines, [NDJSON[:-20]])
    assert all(map(json.loads, filter(None, out.splitlines())))
    assert not lines.complete
    events = openai.StreamMeter(drop_usage=False)
    assert SSE.startswith(read(events, [SSE[: SSE.index(b'"finish_reason":"tool_calls"') + 40]]))
    assert not events.complete


def test_a_finish_reason_or_done_completes_an_openai_stream() -> None:
    for end in (
        WITHOUT_USAGE.removesuffix(b"data: [DONE]\n\n"),
        ERROR_EVENT.partition(b"\n\n")[0] + b"\n\ndata: [DONE]",
    ):
        meter = openai.StreamMeter(drop_usage=True)
        read(meter, [end])
        assert meter.complete


@pytest.mark.parametrize("size", [1000, 65536])
def test_a_record_without_end_is_broken_off(size: int) -> None:
    for meter in (ollama.StreamMeter(), openai.StreamMeter(drop_usage=True)):
        begun = NDJSON if isinstance(meter, ollama.StreamMeter) else SSE
        with pytest.raises(StreamBroken):
            read(meter, [begun, *[b"x" * size] * (5 * 1024 * 1024 // size)])


def test_a_large_record_within_bounds_passes() -> None:
    line = b'{"message":{"content":"' + b"x" * 3_000_000 + b'"},"done":true}\n'
    meter = ollama.StreamMeter()
    assert read(meter, [line[at : at + 60_000] for at in range(0, len(line), 60_000)]) == line
    assert meter.complete


counters = st.dictionaries(
    st.sampled_from(["prompt_eval_count", "eval_count", "load_duration", "done_reason", "usage", "timings", "choices"]),
    st.sampled_from([None, -1, 1.5, 10**30, "x", [], {}, {"prompt_tokens": "x"}, {"cache_n": -1}, [5], True]),
)


@given(counters)
def test_counters_of_a_wrong_type_are_not_believed_and_break_nothing(told: dict[str, object]) -> None:
    for meter in (ollama.StreamMeter(), openai.StreamMeter(drop_usage=True), ollama.WholeMeter(), openai.WholeMeter()):
        text = json.dumps({**told, "done": True}).encode() + b"\n"
        text = b"data: " + text + b"\n" if isinstance(meter, openai.StreamMeter) else text
        read(meter, [text])
        assert meter.refusal is None
        counted = [value for value in msgspec.structs.astuple(meter.usage) if not isinstance(value, str | tuple)]
        assert all(value is None or value >= 0 for value in counted)


@pytest.mark.parametrize("error", [ModelAbsent("no é", hint="do"), EngineFailed('"\n'), HerdError("\ud800")])
def test_errors_are_written_in_each_dialect(error: HerdError) -> None:
    assert list(json.loads(ollama_error(error))) == ["error"]
    assert ollama.error_event(error) == ollama_error(error) + b"\n"
    assert ollama.error_event(error).count(b"\n") == 1
    told = json.loads(openai_error(error))["error"]
    assert told["type"] == told["code"] == error.code
    assert openai.error_event(error) == b"data: " + openai_error(error) + b"\n\n"
    assert b"[DONE]" not in openai.error_event(error)
