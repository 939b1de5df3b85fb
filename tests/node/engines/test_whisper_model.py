"""Audio of any kind becomes samples or a reason why not, and long audio is worked on in windows without losing words.

Needs PyAV and faster-whisper, as their extra brings them.
"""

import struct
from pathlib import Path
from typing import Any

import programs
import pytest

av = pytest.importorskip("av", reason="needs the stt extra (faster-whisper)")
pytest.importorskip("faster_whisper", reason="needs the stt extra (faster-whisper)")

from node.engines import whisper_model  # noqa: E402 - imports what may be missing
from node.engines.whisper_model import Refused, Whisper, decoded  # noqa: E402

pytestmark = pytest.mark.real_engine

RECORDING = Path(__file__).parents[2] / "e2e" / "quarterly-report.wav"
CODECS = {"mp3": ("libmp3lame", 16000), "flac": ("flac", 16000), "m4a": ("aac", 16000), "webm": ("libopus", 48000)}


def encoded(file: Path, codec: str, rate: int) -> bytes:
    """The recording in another format."""
    with av.open(str(RECORDING)) as source, av.open(str(file), "w") as target:
        stream = target.add_stream(codec, rate=rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        frames = [*(part for frame in source.decode(audio=0) for part in resampler.resample(frame)), None]
        for frame in [*frames[:-1], *resampler.resample(None), None]:
            target.mux(stream.encode(frame))
    return file.read_bytes()


@pytest.mark.parametrize("ending", CODECS)
def test_the_usual_formats_are_decoded_and_half_of_a_file_is_refused(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a.{ending}"
    content = encoded(file, *CODECS[ending])
    assert len(decoded(str(file))) / whisper_model.RATE == pytest.approx(4.6, abs=0.1)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(Refused, match=r"cut short|cannot be decoded"):
        decoded(str(file))


def test_a_title_in_an_old_encoding_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "a.mp3"
    content = encoded(file, *CODECS["mp3"])
    title = b"TIT2" + struct.pack(">I", 4) + b"\0\0" + b"\x03\xe4\xf6\xfc"
    file.write_bytes(b"ID3\x04\0\0\0\0\0" + bytes([len(title)]) + title + content[10:])
    assert len(decoded(str(file))) > 0


def test_audio_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_model, "LONGEST_S", 2)
    with pytest.raises(Refused, match="longer than"):
        decoded(str(RECORDING))


class Cut:
    """A model that hears a segment in every ten seconds, and the last one of a window only in part."""

    supported_languages = ("en",)

    def __init__(self) -> None:
        self.asked: list[tuple[float, dict[str, Any]]] = []

    def transcribe(self, samples: Any, **told: Any) -> tuple[list[Any], Any]:
        length = len(samples) / whisper_model.RATE
        self.asked.append((length, told))
        starts = range(0, int(length), 10)
        return [Segment(start, min(start + 10, length)) for start in starts], Info()


class Info:
    language = "en"


class Segment:
    text, temperature, avg_logprob, compression_ratio, no_speech_prob, words = " words", 0.0, 0.0, 1.0, 0.0, None

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end


def test_long_audio_is_heard_in_windows_and_what_a_window_cuts_is_heard_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(whisper_model, "WINDOW_S", 25)
    monkeypatch.setattr(whisper_model, "decoded", lambda path: whisper_model.np.zeros(62 * whisper_model.RATE, "int16"))
    whisper = Whisper(str(tmp_path), 1)
    whisper._model = model = Cut()
    said = list(whisper.answers({"audio": "a"}))
    assert said[:2] == [{"duration": 62.0}, {"language": "en"}]
    assert said[-1] == {"done": True}
    segments = [answer["segment"] for answer in said[2:-1]]
    assert [segment["id"] for segment in segments] == list(range(7))
    assert [(segment["start"], segment["end"]) for segment in segments] == [
        (0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60), (60, 62),
    ]  # fmt: skip
    assert [length for length, _ in model.asked] == [25, 25, 22]
    assert [told["language"] for _, told in model.asked] == [None, "en", "en"]


def test_a_model_that_is_broken_ends_its_process_with_the_reason(tmp_path: Path) -> None:
    for file in programs.speech_model().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:3_000_000])
    with pytest.raises(SystemExit, match="The model cannot be loaded: "):
        Whisper(str(tmp_path), 1).load()


def test_a_gpu_that_does_not_work_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_model.ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    whisper = Whisper(str(programs.speech_model()), 1)
    assert whisper.facts["device"] == "cuda"
    whisper.load()
    assert (whisper.facts["device"], whisper.facts["loaded"]) == ("cpu", True)
    assert whisper.facts["computes"].startswith("int8")
