"""A fleet of real processes: llama.cpp's servers, `herd run`, and a `herd node` for each server."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
from programs import Program, demo_model, eventually, herd

MODEL = "smollm2:135m-e2e"
"""A name that no engine on a developer's machine has: nodes also find engines that nobody told them of."""


class Llama:
    """A real llama.cpp server with two slots, on a port of its own choice; ``context`` is what each slot has."""

    def __init__(self, words: Path, *, slots: int = 2, context: int = 2048, template: str = "") -> None:
        command = [sys.executable, "-m", "node.engines.llama_child", "--model", str(demo_model()), "--name", MODEL]
        command += ["--context", str(context * slots), "--parallel", str(slots), "--threads", "1"]
        command += ["--chat-template", template]
        self.program = Program(command, words)

    @cached_property
    def url(self) -> str:
        return self.program.until_said(r'"address": "([^"]+)"', within_s=60)

    @cached_property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    @property
    def alive(self) -> bool:
        return self.program.process.poll() is None

    def busy(self) -> int:
        """Slots that are at work now, as the server itself says."""
        return sum(slot["is_processing"] for slot in self.http.get("/slots").json())


@dataclass
class Fleet:
    """``nodes`` and ``llamas`` are by the nodes' names; ``http`` asks the router."""

    url: str
    home: Path
    http: httpx.Client
    llamas: dict[str, Llama]
    nodes: dict[str, Program] = field(default_factory=dict)

    def status(self, node_id: str) -> dict[str, Any]:
        """What the router says of a node; empty: nothing yet."""
        nodes = self.http.get("/fleet/status").json()["nodes"]
        return next((node for node in nodes if node["node_id"] == node_id), {})

    def engine(self, node_id: str, name: str = "llama") -> dict[str, Any]:
        engines = self.status(node_id).get("engines", [])
        return next((engine for engine in engines if engine["name"] == name), {})

    def serves(self, node_id: str) -> bool:
        """Whether the router knows the node with the server that it has now."""
        engine = self.engine(node_id)
        here = engine and engine["healthy"] and self.llamas[node_id].url.endswith(f":{engine['port']}")
        return bool(here) and self.status(node_id)["status"] == "online"

    def trace(self, request_id: str) -> dict[str, Any]:
        """The stored trace of a request, once it is there."""

        def found() -> dict[str, Any] | None:
            traces = self.http.get("/dashboard/api/traces", params={"request_id": request_id}).json()["traces"]
            return traces[0] if traces else None

        return eventually(found, within_s=5, what="a trace")

    def start_node(
        self, node_id: str, *flags: object, ollama: str = "http://127.0.0.1:9", **environment: str
    ) -> Program:
        """A node that looks often and knows no engine but those it is told of."""
        words = ["--node-id", node_id, "--router-url", self.url, "--data-dir", self.home / node_id]
        words += ["--ollama-host", ollama, "--poll-interval", "0.5", "--door-host", "127.0.0.1"]
        program = Program(herd("node", *words, *flags), self.home / f"{node_id}.txt", **environment)
        self.nodes[node_id] = program
        return program

    def heal(self) -> None:
        """A new server for each one that ended, and a node for each that has none that runs."""
        ended = [node_id for node_id, llama in self.llamas.items() if not llama.alive]
        for node_id in ended:
            self.llamas[node_id] = Llama(self.home / f"llama-{node_id}.txt")
            if node_id in self.nodes:
                self.nodes.pop(node_id).kill()
        for node_id, llama in self.llamas.items():
            if node_id not in self.nodes or self.nodes[node_id].process.poll() is not None:
                self.start_node(node_id, "--engine", f"llama={llama.url}")
        for node_id in self.llamas:
            there = partial(self.serves, node_id)
            eventually(there, within_s=120, what=f"{node_id}, serving")


@contextmanager
def running_fleet(home: Path, *names: str, **llama: Any) -> Iterator[Fleet]:
    """A router that holds nothing for long, and a node with a server for each name, all known to it and serving."""
    llamas = {name: Llama(home / f"llama-{name}.txt", **llama) for name in names}
    words = ["run", "--host", "127.0.0.1", "--port", "0", "--no-mdns", "--data-dir", home / "router"]
    with ExitStack() as stack:
        router = stack.enter_context(Program(herd(*words, "--hold-timeout", "1"), home / "router.txt"))
        url = router.until_said(r"Ollama host\s+(http://\S+)", within_s=120)
        http = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        fleet = Fleet(url, home, http, llamas)
        try:
            eventually(lambda: http.get("/readyz").status_code == 200, what="the router")
            fleet.heal()
            yield fleet
        finally:
            for program in (*fleet.nodes.values(), *(llama.program for llama in llamas.values())):
                program.kill()
