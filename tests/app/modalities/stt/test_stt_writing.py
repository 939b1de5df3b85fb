"""A transcript in each shape: no word is lost, no time goes backwards, and a reader reads back what was said."""

import json
import re
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.modalities.stt.schema import Shape
from app.modalities.stt.transcript import Transcript, Unheard, heard, refusal
from app.modalities.stt.writing import written

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
TIME = st.floats(-10, 400_000, allow_nan=False)
SEGMENTS = st.lists(st.fixed_dictionaries({"text": WORDS, "start": TIME, "end": TIME}), max_size=6)
CUE = re.compile(
    r"(?:(\d+)\n)?(\d\d+):(\d\d):(\d\d)[,.](\d\d\d) --> (\d\d+):(\d\d):(\d\d)[,.](\d\d\d)\n(.*)", re.DOTALL
)
VERBOSE = {
    "task": "transcribe", "language": "english", "duration": 3.5, "text": " Hello world. It rains.",
    "segments": [
        {"id": 0, "start": 0.0, "end": 1.5, "text": " Hello world.", "avg_logprob": -0.25},
        {"id": 1, "start": 1.5, "end": 3.25, "text": " It rains.", "avg_logprob": -0.5},
    ],
}  # fmt: skip


def told(**fields: Any) -> Transcript:
    return heard(json.dumps(fields).encode())


def text_of(shape: Shape, transcript: Transcript) -> str:
    return written(shape, transcript)[0].decode()


def cues(text: str, *, escaped: bool) -> list[tuple[float, float, str]]:
    """What a reader of subtitles makes of this: cues end at an empty line."""
    found = []
    for block in text.removeprefix("WEBVTT\n\n").split("\n\n"):
        if not block:
            continue
        match = CUE.fullmatch(block)
        assert match is not None, block
        _, h1, m1, s1, t1, h2, m2, s2, t2, said = match.groups()
        assert all(int(part) < 60 for part in (m1, s1, m2, s2))
        if escaped:
            assert not re.search(r"<|>|&(?!amp;|lt;|gt;)", said)
            said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        start = int(h1) * 3600 + int(m1) * 60 + int(s1) + int(t1) / 1000
        end = int(h2) * 3600 + int(m2) * 60 + int(s2) + int(t2) / 1000
        found.append((start, end, said))
    return found


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@given(segments=SEGMENTS, shape=st.sampled_from(["srt", "vtt"]))
def test_subtitles_read_back_as_what_was_said_and_when_overlaps_and_all(
    segments: list[dict[str, Any]], shape: Shape
) -> None:
    transcript = told(text="x", segments=segments)
    found = cues(text_of(shape, transcript), escaped=shape == "vtt")
    spoken = [one for one in segments if one["text"].strip()]
    if not spoken:
        return
    assert len(found) == len(spoken)
    for (start, end, said), one in zip(found, spoken, strict=True):
        assert lines(said) == lines(one["text"])
        assert abs(start - max(one["start"], 0)) < 0.001
        assert start <= end
        assert abs(end - max(one["end"], one["start"], 0)) < 0.001


@given(text=WORDS, segments=SEGMENTS, language=st.none() | WORDS, duration=st.none() | TIME | TIME.map(str))
def test_every_transcript_can_be_written_in_every_shape(
    text: str, segments: list[dict[str, Any]], language: str | None, duration: float | str | None
) -> None:
    transcript = told(text=text, segments=segments, language=language, duration=duration)
    for shape in get_args(Shape):
        out, kind = written(shape, transcript)
        if kind == "application/json":
            assert json.loads(out)["text"].strip() == text.strip()
        else:
            out.decode()
    assert text_of("text", transcript) == text.strip() + "\n"


def test_the_clock_goes_on_past_a_day_and_rounds_to_the_nearest_thousandth() -> None:
    segments = [{"text": "a", "start": 59.9996, "end": 3661.5}, {"text": "b", "start": 90_000, "end": 360_000.001}]
    assert text_of("srt", told(text="a b", segments=segments)) == (
        "1\n00:01:00,000 --> 01:01:01,500\na\n\n2\n25:00:00,000 --> 100:00:00,001\nb\n\n"
    )


def test_an_empty_transcript_is_empty_in_every_shape() -> None:
    nothing = told(text="", segments=[], language="en", duration=2.0)
    assert [text_of(shape, nothing) for shape in ("text", "srt", "vtt")] == ["\n", "", "WEBVTT\n\n"]
    assert json.loads(text_of("json", nothing)) == {"text": ""}
    assert json.loads(text_of("chunks", nothing)) == {"text": "", "language": "en", "chunks": []}


def test_what_an_engine_says_of_itself_is_kept_in_the_long_shape_and_what_it_leaves_out_is_added() -> None:
    assert json.loads(text_of("verbose_json", told(**VERBOSE))) == VERBOSE
    words = [{"word": "Hello", "start": 0.0, "end": 0.5}]
    assert json.loads(text_of("verbose_json", told(**VERBOSE, words=words)))["words"] == words
    assert json.loads(text_of("verbose_json", told(text="Hi"))) == {
        "task": "transcribe", "language": "", "duration": None, "text": "Hi", "segments": [],
    }  # fmt: skip


def test_the_routers_own_shape_has_each_stretch_of_speech_by_itself() -> None:
    assert json.loads(text_of("chunks", told(**VERBOSE))) == {
        "text": "Hello world. It rains.",
        "language": "english",
        "chunks": [
            {"text": "Hello world.", "start": 0.0, "end": 1.5, "chunk_index": 0, "language": "english"},
            {"text": "It rains.", "start": 1.5, "end": 3.25, "chunk_index": 1, "language": "english"},
        ],
    }


def test_text_without_times_is_one_stretch_over_the_whole_length_if_that_is_known() -> None:
    known = told(text="Hi", duration="2.5", segments=[{"text": "Hi"}])
    assert text_of("srt", known) == "1\n00:00:00,000 --> 00:00:02,500\nHi\n\n"
    assert not told(text="Hi").is_timed
    assert told(text="").is_timed
    assert json.loads(text_of("chunks", told(text="Hi", segments=[{"text": "Hi"}])))["chunks"][0]["start"] is None


def test_a_time_that_cannot_be_is_none() -> None:
    endless = told(text="a", duration=1e300, segments=[{"text": "a", "start": 0, "end": 1e300}])
    assert (endless.duration, endless.is_timed) == (None, False)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"WEBVTT", b'{"text": 5}', b'{"segments": 1}', b'{"text":"\xff"}'])
def test_what_is_no_transcript_is_told_so(body: bytes) -> None:
    with pytest.raises(Unheard):
        heard(body)


@given(st.binary(max_size=60))
def test_no_answer_of_an_engine_breaks_the_reader(body: bytes) -> None:
    refusal(body)
    with suppress(Unheard):
        heard(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"failed to read audio data"}', "failed to read audio data"),
        (b'{"error":{"message":"no audio"}}', "no audio"),
        (b'{"text":"a","error":null}', ""),
        (b'{"text":"a"}', ""),
        (b"nonsense", ""),
    ],
)
def test_an_error_in_the_clothes_of_a_success_is_seen(body: bytes, words: str) -> None:
    assert refusal(body) == words
