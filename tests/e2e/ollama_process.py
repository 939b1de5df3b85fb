"""A real Ollama as a process of its own, with a router and a node in front of it. The binary is named by OLLAMA_BIN."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from programs import Program, demo_model, eventually, herd

MODEL = "smollm2:135m-real"
SLOTS = 3


def binary() -> str:
    """Skips, saying so, where there is no Ollama."""
    named = os.environ.get("OLLAMA_BIN", "")
    found = shutil.which(named) if named else None
    if found is None:
        pytest.skip("needs a real Ollama: name its binary in OLLAMA_BIN")
    return found


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


class Ollama:
    """``ollama serve`` with a model store under ``home``; started again, it has the same port and the same models."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        self._own = {
            "OLLAMA_HOST": f"127.0.0.1:{self.port}", "OLLAMA_MODELS": str(home / "models"), "HOME": str(home),
            "OLLAMA_NUM_PARALLEL": str(SLOTS), "OLLAMA_NO_CLOUD": "1",
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        self.program = Program([binary(), "serve"], self.home / "ollama.txt", **self._own)
        eventually(lambda: self.http.get("/api/version").status_code == 200, within_s=60, what="Ollama")

    def kill(self) -> None:
        """It and its runners are gone at once."""
        runners = self._runners()
        self.program.kill()
        for runner in runners:
            runner.kill()
        psutil.wait_procs(runners, timeout=10)

    def command(self, *words: str, host: str = "") -> subprocess.CompletedProcess[str]:
        """The ``ollama`` command line, asked of this Ollama or of another host."""
        own = {**os.environ, **self._own, "OLLAMA_HOST": host or self.url}
        return subprocess.run(
            [binary(), *words], env=own, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )

    def create(self, model: str) -> None:
        """The demo's model: brief, always of the same words, and with one thread, because others need the processor."""
        recipe = self.home / "Modelfile"
        brief = {"num_predict": 12, "temperature": 0, "seed": 1, "num_thread": 1}
        parameters = "".join(f"PARAMETER {name} {value}\n" for name, value in brief.items())
        recipe.write_text(f"FROM {demo_model()}\n{parameters}", "utf-8")
        made = self.command("create", model, "-f", str(recipe))
        assert made.returncode == 0, made.stderr

    def loaded(self) -> dict[str, dict[str, Any]]:
        """What is in its memory, by name."""
        return {model["name"]: model for model in self.http.get("/api/ps").json()["models"]}

    def unload(self) -> None:
        self.http.post("/api/generate", json={"model": MODEL, "keep_alive": 0})
        eventually(lambda: not self.loaded(), what="an empty memory")

    def works(self) -> bool:
        """Whether its runners use the processor."""
        before = self._cpu_s()
        time.sleep(0.5)
        return self._cpu_s() - before > 0.1

    def _runners(self) -> list[psutil.Process]:
        return psutil.Process(self.program.process.pid).children(recursive=True)

    def _cpu_s(self) -> float:
        return sum(sum(runner.cpu_times()[:2]) for runner in self._runners())


@dataclass
class Herd:
    """A router with one node, ash, whose only engine is the Ollama. ``http`` asks the router."""

    url: str
    http: httpx.Client
    ollama: Ollama

    def engine(self) -> dict[str, Any]:
        """What the router knows of the Ollama; empty: nothing yet."""
        nodes = self.http.get("/fleet/status").json()["nodes"]
        return next((engine for node in nodes for engine in node["engines"] if engine["kind"] == "ollama"), {})

    def model(self) -> dict[str, Any]:
        models = self.engine().get("models", ())
        return next((model for model in models if model["name"] == MODEL), {})

    def until_known(self, *, loaded: bool) -> dict[str, Any]:
        """The model, once the router knows whether it is in memory."""

        def known() -> dict[str, Any]:
            model = self.model()
            return model if model.get("loaded") is loaded else {}

        return eventually(known, what=f"a model that is {'' if loaded else 'not '}loaded")


@contextmanager
def herd_before_ollama(home: Path) -> Iterator[Herd]:
    binary()
    (home / "ollama").mkdir()
    ollama = Ollama(home / "ollama")
    with ExitStack() as stack:
        stack.callback(lambda: ollama.kill())
        ollama.create(MODEL)
        words = ["run", "--host", "127.0.0.1", "--port", "0", "--no-mdns", "--data-dir", home / "router"]
        router = stack.enter_context(Program(herd(*words, "--hold-timeout", "1"), home / "router.txt"))
        url = router.until_said(r"Ollama host\s+(http://\S+)", within_s=60)
        words = [
            "node",
            "--node-id",
            "ash",
            "--router-url",
            url,
            "--data-dir",
            home / "ash",
            "--door-host",
            "127.0.0.1",
        ]
        words += ["--ollama-host", ollama.url, "--poll-interval", "0.5", "--heartbeat-interval", "0.5", "--no-mdns"]
        stack.enter_context(Program(herd(*words), home / "ash.txt"))
        http = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        running = Herd(url, http, ollama)
        eventually(running.model, within_s=60, what="the model, known to the router")
        yield running
