"""Who uses an engine past the router: out of recorded connections, and of real ones on this machine."""

import os
import socket

import psutil
import pytest

from node.machine import clients
from node.machine.clients import Connection, bypassing, connections, direct_clients
from node.wire import DirectClient

OLLAMA, ROUTER, NODE, SHELL = 100, 200, 300, 400
"""Processes by their ids."""
ENGINE = Connection(local=("127.0.0.1", 11434), pid=OLLAMA)


def pair(client: int | None, port: int, to: int = 11434) -> list[Connection]:
    """A connection within the machine: both ends are seen."""
    here, there = ("127.0.0.1", port), ("127.0.0.1", to)
    return [Connection(local=there, remote=here, pid=OLLAMA), Connection(local=here, remote=there, pid=client)]


def seen(*found: Connection, hosts: tuple[str, ...] = ("192.168.1.5",), port: int | None = 11435) -> dict[str, int]:
    """By its peer, how often the engine is used directly."""
    told = bypassing([ENGINE, *found], {11434}, own_pid=NODE, router_hosts=hosts, router_port=port)
    return {client.peer: client.connections for client in told.get(11434, ())}


def test_a_client_of_the_lan_is_seen_with_its_connections() -> None:
    laptop = [Connection(local=("192.168.1.9", 11434), remote=("192.168.1.7", port), pid=None) for port in (1, 2)]
    assert seen(*laptop) == {"192.168.1.7": 2}


def test_the_router_and_the_node_itself_use_no_engine_past_the_router() -> None:
    router = Connection(local=("192.168.1.9", 11434), remote=("192.168.1.5", 40000), pid=OLLAMA)
    assert seen(router, *pair(NODE, 50001)) == {}


def test_a_program_of_this_machine_is_seen() -> None:
    assert seen(*pair(SHELL, 50002), *pair(None, 50003)) == {"127.0.0.1": 2}


def test_a_router_on_this_machine_is_known_by_its_process() -> None:
    listens = Connection(local=("0.0.0.0", 11435), pid=ROUTER)
    local = ("127.0.0.1",)
    assert seen(listens, *pair(ROUTER, 50004), *pair(SHELL, 50005), hosts=local) == {"127.0.0.1": 1}


def test_a_program_that_might_be_the_router_is_not_accused() -> None:
    listens = Connection(local=("0.0.0.0", 11435), pid=None)
    assert seen(listens, *pair(None, 50006), hosts=("127.0.0.1",)) == {}


def test_connections_to_other_ports_and_from_the_machine_outwards_are_nobodys_business() -> None:
    other = Connection(local=("192.168.1.9", 22), remote=("192.168.1.7", 1), pid=None)
    outward = Connection(local=("192.168.1.9", 50007), remote=("192.168.1.7", 11434), pid=SHELL)
    assert seen(other, outward) == {}


def test_a_port_on_which_nothing_listens_here_is_another_machines_engine() -> None:
    chance = Connection(local=("192.168.1.9", 8000), remote=("192.168.1.7", 443), pid=SHELL)
    assert bypassing([chance], {8000}, own_pid=NODE, router_hosts=()) == {}


def test_another_address_of_the_router_is_the_router() -> None:
    wifi = Connection(local=("192.168.1.9", 11434), remote=("192.168.1.6", 1), pid=None)
    told = bypassing([ENGINE, wifi], {11434}, own_pid=NODE, router_hosts={"192.168.1.5"}, also={"192.168.1.6"})
    assert told == {}


@pytest.mark.parametrize("denied", [False, True])
def test_real_connections_of_this_machine_are_seen(monkeypatch: pytest.MonkeyPatch, denied: bool) -> None:
    if denied:  # as macOS does to whoever is not root
        monkeypatch.setattr(psutil, "net_connections", lambda _: (_ for _ in ()).throw(psutil.AccessDenied()))
    with socket.create_server(("127.0.0.1", 0)) as engine, socket.create_connection(engine.getsockname()) as client:
        served, _ = engine.accept()
        with served:
            port, here = engine.getsockname()[1], client.getsockname()
            ends = {one for one in connections() if port in (one.local[1], (one.remote or ("", 0))[1])}
            assert Connection(local=("127.0.0.1", port), pid=os.getpid()) in ends
            assert Connection(local=here, remote=("127.0.0.1", port), pid=os.getpid()) in ends
            assert direct_clients({port}, ["http://192.0.2.1:11435"]) == {}
            monkeypatch.setattr(clients.os, "getpid", lambda: -1)  # seen by somebody else
            assert direct_clients({port}, ["http://192.0.2.1:11435"]) == {
                port: (DirectClient(peer="127.0.0.1", connections=1),)
            }


def test_an_address_of_ipv4_is_that_however_it_came_in() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as engine:
        port = engine.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = engine.accept()
            with served:
                local = client.getsockname()
                assert any(one.remote == local for one in connections())


def test_without_a_router_or_an_engine_nobody_is_asked() -> None:
    assert direct_clients(set(), ["http://192.0.2.1:11435"]) == {}
    assert direct_clients({11434}, []) == {}
    assert direct_clients({1}, ["http://no-such-host.invalid:11435"]) == {}
