"""A small LAN on one machine: two network namespaces joined by a veth pair. Linux, root and iproute2 only.

router's namespace, 10.203.x.1        node's namespace, 10.203.x.10
              hr…  ------ veth pair ------  hn…
"""

import ctypes
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from programs import Program

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class Host:
    """One namespace as a machine: its loopback, one network card, programs, and threads that live there."""

    def __init__(self, name: str, card: str, network: str, threads: ThreadPoolExecutor) -> None:
        self.name = name
        self._card = card
        self._network = network
        self._threads = threads

    def address(self, number: int) -> str:
        return f"{self._network}.{number}"

    def move(self, number: int) -> None:
        """Give the machine this address, and no other."""
        self._ip("address", "flush", "dev", self._card, "scope", "global")
        self._ip("address", "add", f"{self.address(number)}/24", "dev", self._card)

    def up(self, number: int) -> None:
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", self._card, "up")
        self.move(number)

    def program(self, command: Sequence[str], words: Path, **environment: str) -> Program:
        return Program(["ip", "netns", "exec", self.name, *command], words, **environment)

    def here(self, do: Callable[[], T]) -> T:
        """Do it on this machine: sockets that are opened meanwhile are its own."""
        return self.begin(do).result(60)

    def begin(self, do: Callable[[], T]) -> Future[T]:
        """The same, beside whatever else goes on."""
        return self._threads.submit(do)

    def lose(self, percent: int) -> None:
        """From now on this share of what the machine sends gets lost; 0: nothing. Skips where its kernel cannot."""
        self._tc("qdisc", "delete", "dev", self._card, "root")
        if not percent:
            return
        if self._tc("qdisc", "add", "dev", self._card, "root", "netem", "loss", f"{percent}%"):
            return
        chosen = f"4,32 0 0 4294963256,37 0 1 {2**32 * percent // 100},6 0 0 0,6 0 0 4294967295"
        steps = [  # a random number chooses the packets that go into a black hole
            f"qdisc add dev {self._card} root handle 1: htb default 1",
            f"class add dev {self._card} parent 1: classid 1:1 htb rate 1gbit quantum 60000",
            f"class add dev {self._card} parent 1: classid 1:2 htb rate 1gbit quantum 60000",
            f"qdisc add dev {self._card} parent 1:2 blackhole",
        ]
        filtering = ["filter", "add", "dev", self._card, "parent", "1:", "bpf", "bytecode", chosen, "flowid", "1:2"]
        if not all(self._tc(*step.split()) for step in steps) or not self._tc(*filtering):
            pytest.skip("this kernel can lose no packets at will (netem, or htb with bpf filters)")

    def _tc(self, *words: str) -> bool:
        return subprocess.run(["tc", "-n", self.name, *words], check=False, capture_output=True).returncode == 0

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.name, *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Lan:
    router: Host
    node: Host


@contextmanager
def running_lan() -> Iterator[Lan]:
    """Both machines, up and connected; skips, saying so, where namespaces cannot be made."""
    mark = secrets.token_hex(3)
    network = f"10.203.{secrets.randbelow(254) + 1}"
    names, cards = (f"herd-r-{mark}", f"herd-n-{mark}"), (f"hr{mark}", f"hn{mark}")
    with ExitStack() as stack:
        for name in names:
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"cannot make network namespaces here: {made.stderr.strip()}")
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False)
        pair = ["ip", "link", "add", cards[0], "netns", names[0], "type", "veth", "peer", "name", cards[1]]
        subprocess.run([*pair, "netns", names[1]], check=True)
        hosts = []
        for name, card in zip(names, cards, strict=True):
            threads = ThreadPoolExecutor(4, initializer=_enter, initargs=(name,))
            hosts.append(Host(name, card, network, stack.enter_context(threads)))
        router, node = hosts
        router.up(1)
        node.up(10)
        yield Lan(router, node)


def _enter(name: str) -> None:
    """Move this thread into the namespace (Python has the call itself since 3.12)."""
    handle = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)
