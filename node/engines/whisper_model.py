"""A Whisper model by faster-whisper, inside its own process: file in, segments out. Knows no pipe and no parent.

The only file that loads faster-whisper, CTranslate2 and FFmpeg. Long audio is worked on in windows, because the whole
would take 1.5 GB of memory an hour.
"""

import importlib.metadata
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import av
import ctranslate2
import faster_whisper
import numpy as np

RATE = 16_000
WINDOW_S = 600
LONGEST_S = 4 * 3600
BEAM = 5
TAGS = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""A song's title in an old encoding is no error; from 19 on, PyAV thinks so by itself."""
ENOUGH = 0.9
"""Of the length that a file claims for itself, what must be in it."""


class Refused(Exception):
    """The request cannot be answered, whoever is asked; the text is one sentence for people."""


class Whisper:
    """One model folder. Its weights are loaded at the first request that needs them."""

    def __init__(self, folder: str, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self._model: Any = None

    @property
    def facts(self) -> dict[str, Any]:
        """What its owner wants to know."""
        return {
            "version": importlib.metadata.version("faster-whisper"),
            "device": self._device,
            "loaded": self._model is not None,
            "computes": self._model.model.compute_type if self._model is not None else "",
        }

    def answers(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All that is to be said to a request, as it comes about."""
        try:
            yield from self._transcribed(request)
            yield {"done": True}
        except Refused as why:
            yield {"refused": str(why)}
        except (RuntimeError, ValueError, MemoryError, OSError) as error:
            yield {"failed": str(error) or type(error).__name__}

    def _transcribed(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        samples = decoded(request["audio"])
        if self._model is None:
            self.load()
            yield self.facts
        yield {"duration": len(samples) / RATE}
        told = {"language": self._language(request.get("language") or ""), "beam_size": BEAM}
        if request.get("prompt"):
            told["initial_prompt"] = request["prompt"]
        if request.get("temperature"):  # 0 and none mean: as it comes, warmer where it fails
            told["temperature"] = request["temperature"]
        if request.get("words"):
            told["word_timestamps"] = True
        for answer in self._windows(samples, told):
            if "language" in answer:
                told["language"] = answer["language"]  # what was heard first holds for all
            yield answer

    def _windows(self, samples: Any, told: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Window by window. The last segment of a window may be cut, so the next one begins with it."""
        start, numbers, whole_s = 0, itertools.count(), len(samples) / RATE

        def told_of(segment: Any) -> dict[str, Any]:
            return {"segment": _told(segment, next(numbers), start / RATE, whole_s)}

        while start < len(samples):
            piece = samples[start : start + WINDOW_S * RATE]
            last = start + len(piece) == len(samples)
            segments, info = self._model.transcribe(piece.astype(np.float32) / 32768, **told)
            if not start:
                yield {"language": info.language}
            held, next_start = None, start + len(piece)
            for segment in segments:
                if held is not None:
                    yield told_of(held)
                held = segment
            if held is not None and (last or held.start < 1):
                yield told_of(held)
            elif held is not None:
                next_start = start + int(held.start * RATE)
            start = next_start

    def _language(self, wanted: str) -> str | None:
        """``en-GB`` is ``en``; nothing is: find out. Raises ``Refused`` for one that this model does not know."""
        code = wanted.strip().lower().partition("-")[0]
        known = self._model.supported_languages
        if code and code not in known:
            some = ", ".join(sorted(known)[:12]) + (", ..." if len(known) > 12 else "")
            raise Refused(f"This model does not know the language {wanted[:40]!r}; it knows {some}.")
        return code or None

    def load(self) -> None:
        """On the GPU if there is one and it computes: its libraries may be missing, and that is not seen before.

        A model that cannot be loaded ends the process, for it is of no use.
        """
        if self._device == "cuda":
            try:
                self._model = self._made(compute_type="auto")
                list(self._model.transcribe(np.zeros(RATE, np.float32), language="en")[0])
                return
            except (RuntimeError, ValueError) as error:
                os.write(2, f"The GPU cannot be used: {error}\n".encode())
                self._device = "cpu"
        try:
            self._model = self._made(compute_type="int8")
        except (RuntimeError, ValueError, MemoryError, OSError) as error:
            sys.exit(f"The model cannot be loaded: {error}")

    def _made(self, *, compute_type: str) -> Any:
        return faster_whisper.WhisperModel(
            self._folder, device=self._device, compute_type=compute_type, cpu_threads=self._threads,
            local_files_only=True,
        )  # fmt: skip


def decoded(path: str) -> Any:
    """The samples of an audio file, 16 bits at 16 kHz, one channel. Raises ``Refused``.

    A damaged packet is passed over, as players do; a file that ends well before the length it claims is refused.
    """
    samples = bytearray()
    try:
        with av.open(path, mode="r", **TAGS) as container:
            if not container.streams.audio:
                raise Refused("There is no audio in this file.")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    continue
                for frame in frames:
                    frame.pts = None
                    for part in resampler.resample(frame):
                        samples += part.to_ndarray().tobytes()
                if len(samples) > LONGEST_S * RATE * 2:
                    raise Refused(f"This audio is longer than {LONGEST_S // 3600} hours.")
            for part in resampler.resample(None):
                samples += part.to_ndarray().tobytes()
            claimed = _claimed_s(container, stream, os.path.getsize(path))
    except FileNotFoundError:
        raise
    except av.error.FFmpegError as error:
        raise Refused(f"This file cannot be decoded as audio: {error.strerror}.") from None
    seconds = len(samples) / 2 / RATE
    if not samples:
        raise Refused("There is no audio in this file.")
    if seconds < ENOUGH * claimed:
        raise Refused(f"This file is cut short or damaged: {seconds:.1f} s of {claimed:.1f} s can be decoded.")
    return np.frombuffer(samples, np.int16)


def _claimed_s(container: Any, stream: Any, size: int) -> float:
    """How long the file says it is, in seconds; 0 where that is nothing but a guess from its size or another stream."""
    if stream.duration:
        claimed = stream.duration * float(stream.time_base)
    elif container.duration and len(container.streams) == 1:
        claimed = container.duration / av.time_base
    else:
        return 0.0
    guessed = (stream.codec_context.bit_rate or 0) * claimed / 8
    return 0.0 if abs(guessed - size) <= 0.02 * size else claimed


def _told(segment: Any, number: int, offset_s: float, whole_s: float) -> dict[str, Any]:
    def at(seconds: float) -> float:
        return round(min(seconds + offset_s, whole_s), 3)

    words = [{"word": word.word.strip(), "start": at(word.start), "end": at(word.end)} for word in segment.words or ()]
    return {
        "id": number,
        "start": at(segment.start),
        "end": at(segment.end),
        "text": segment.text,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        **({"words": words} if words else {}),
    }
