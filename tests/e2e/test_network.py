"""Two machines on one LAN that were told nothing of each other: found, joined, relayed, found again, kept apart."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import msgspec
import pytest
from e2e.lan import Lan, running_lan
from programs import CHECKOUT, Program, eventually, herd

from node.wire import EngineReport, Heartbeat

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="making network namespaces takes root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs the command ip (iproute2)"),
]

MODEL = "smollm2:135m"
ASKED: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": False}
FOUND_S = 40.0
"""Patience on a busy machine; by itself finding takes a second or two."""


class Site:
    """A LAN with a router program and a node program that was told of no router. Asks from the router's machine."""

    def __init__(self, lan: Lan, home: Path) -> None:
        self.lan = lan
        self.home = home
        self.url = ""
        self.engine = self._at_node(
            [sys.executable, str(CHECKOUT / "tests" / "fakes" / "fake_ollama.py"), "--model", MODEL], "engine"
        )
        self.engine.until_said("http")
        self.http = httpx.Client(trust_env=False, timeout=60)

    def start_router(self, *, port: int = 11435, address: int = 1, **environment: str) -> Program:
        self.url = f"http://{self.lan.router.address(address)}:{port}"
        command = herd("run", "--port", port, "--data-dir", self.home / "router")
        router = self.lan.router.program(command, self.home / "router.txt", **environment)
        eventually(lambda: self.ask("GET", "/readyz").status_code == 200, what="the router")
        return router

    def start_node(self) -> Program:
        return self._at_node(herd("node", "--node-id", "oak", "--data-dir", self.home / "oak"), "oak")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.lan.router.here(lambda: self.ask_here(method, path, **more))

    def ask_here(self, method: str, path: str, **more: Any) -> httpx.Response:
        """From a thread that is on the router's machine already."""
        return self.http.request(method, self.url + path, **more)

    def oak(self) -> dict[str, Any]:
        """The node as the router sees it; empty: not at all."""
        return next((node for node in self.ask("GET", "/fleet/status").json()["nodes"] if node["node_id"] == "oak"), {})

    def serves(self) -> bool:
        oak = self.oak()
        return bool(oak) and oak["status"] == "online" and MODEL in oak["ollama"]["models_available"]

    def _at_node(self, command: list[str], name: str) -> Program:
        return self.lan.node.program(command, self.home / f"{name}.txt")


@contextmanager
def running_site(home: Path) -> Iterator[Site]:
    with running_lan() as lan:
        site = Site(lan, home)
        with site.http, site.engine:
            yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A LAN with an engine, on which no router and no node runs yet."""
    with running_site(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A router and a node that found it."""
    with running_site(tmp_path_factory.mktemp("lan")) as site, site.start_router(), site.start_node():
        eventually(site.serves, within_s=FOUND_S, what="a node that found its router")
        yield site


def test_a_node_finds_the_router_by_itself_and_its_engine_stays_on_the_loopback(settled: Site) -> None:
    oak = settled.oak()
    assert oak["address"] == settled.lan.node.address(10)
    assert {engine["name"]: engine["reach"] for engine in oak["engines"]} == {"ollama": "loopback"}
    with pytest.raises(httpx.ConnectError):
        settled.lan.router.here(lambda: httpx.get(f"http://{settled.lan.node.address(10)}:11434/", trust_env=False))
    answer = settled.ask("POST", "/api/chat", json=ASKED)
    assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "oak")
    assert answer.json()["message"]["content"] == "Hello from fake"


def test_a_nodes_name_is_its_own(settled: Site) -> None:
    evil = EngineReport(name="evil", kind="ollama", port=6666, reach="lan")
    forged = msgspec.json.encode(Heartbeat(node_id="oak", engines=(evil,)))
    guessed = {"Authorization": "Bearer guessed"}

    def forge(headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{settled.url}/heartbeat", content=forged, headers=headers, trust_env=False)

    for host, headers in ((settled.lan.node, {}), (settled.lan.node, guessed), (settled.lan.router, {})):
        answer = host.here(lambda headers=headers: forge(headers))  # type: ignore[misc]
        assert answer.status_code == 401, answer.text
    assert [engine["name"] for engine in settled.oak()["engines"]] == ["ollama"]


@contextmanager
def asked_all_along(site: Site) -> Iterator[None]:
    """Somebody asks, one request after the other, and gets each of his answers however long it takes."""
    stop = Event()
    statuses: list[int] = []

    def ask() -> None:
        while not stop.wait(0.05):
            statuses.append(site.ask_here("POST", "/api/chat", json=ASKED).status_code)

    asking = site.lan.router.begin(ask)
    try:
        yield
    finally:
        stop.set()
        asking.result(60)
    assert statuses
    assert set(statuses) == {200}, Counter(statuses)


def test_a_node_that_gets_another_address_is_back_and_no_request_is_lost(settled: Site) -> None:
    for number in (20, 10):
        with asked_all_along(settled):
            settled.lan.node.move(number)
            there = settled.lan.node.address(number)
            eventually(lambda there=there: settled.oak()["address"] == there, within_s=FOUND_S, what="the node, again")
            assert settled.ask("POST", "/api/chat", json=ASKED).status_code == 200


def test_where_every_fifth_packet_is_lost_requests_are_slow_and_not_lost(settled: Site) -> None:
    machines = (settled.lan.router, settled.lan.node)
    try:
        for machine in machines:
            machine.lose(20)
        with asked_all_along(settled):
            time.sleep(6)
            assert settled.oak()["status"] in ("online", "degraded")
    finally:
        for machine in machines:
            machine.lose(0)
    eventually(settled.serves, within_s=FOUND_S, what="a node that is online")


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_node_finds_its_router_again_at_another_address(site: Site, end: str) -> None:
    with site.start_node():
        with site.start_router() as router:
            eventually(site.serves, within_s=FOUND_S, what="a node that found its router")
            if end == "stopped":
                assert router.stop() == 0
        site.lan.router.move(2)
        with site.start_router(port=11500, address=2):
            assert site.oak() == {}
            eventually(site.serves, within_s=FOUND_S, what="the node, again")
            answer = site.ask("POST", "/api/chat", json=ASKED)
            assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "oak")


def test_a_node_is_back_with_a_router_that_was_killed_and_started_again(site: Site) -> None:
    with site.start_node():
        with site.start_router():
            eventually(site.serves, within_s=FOUND_S, what="a node that found its router")
        with site.start_router():
            eventually(site.serves, within_s=FOUND_S, what="the node, again")
            assert site.ask("POST", "/api/chat", json=ASKED).status_code == 200


def test_a_machine_that_must_be_approved_waits_until_it_is(site: Site) -> None:
    with site.start_router(FLEET_JOIN="approve"), site.start_node() as node:
        eventually(lambda: site.oak().get("status") == "waiting", within_s=FOUND_S, what="a node that waits")
        node.until_said("herd approve oak")
        assert site.ask("POST", "/api/chat", json=ASKED).status_code in (404, 503)  # just started: it may yet come
        approve = herd("approve", "oak", "--data-dir", site.home / "router")
        subprocess.run(["ip", "netns", "exec", site.lan.router.name, *approve], check=True, cwd=CHECKOUT, timeout=30)
        eventually(site.serves, within_s=FOUND_S, what="a node that was let in")
        assert site.ask("POST", "/api/chat", json=ASKED).status_code == 200
