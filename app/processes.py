"""Herd's own commands as processes that end with a block, for the commands that show Herd. Knows no model."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

READY_S = 120.0
"""Seconds that router, node and engine have to be ready; a model of 92 MB needs two."""
STOP_S = 20.0


class Failed(Exception):
    """The command cannot go on; the text is for people."""


@contextmanager
def process(home: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of Herd's as a process that ends with the block. What it says is kept in a file of the folder."""
    with (home / f"{words[0]}.out").open("wb") as said:
        started = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "app.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(STOP_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def until(ready: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while not ready():
        ended = next((process for process in processes if process.poll() is not None), None)
        if ended is not None:
            command = shlex.join(str(word) for word in list(ended.args)[4:])  # type: ignore[arg-type]
            raise Failed(f"`herd {command}` ended by itself; what it said lies in its folder")
        if time.monotonic() > deadline:
            raise Failed(f"not ready after {READY_S:.0f} s; what router and node said lies in its folder")
        time.sleep(0.1)


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def free_port(wished: int) -> int:
    for port in (*range(wished, wished + 50), 0) if wished else (0,):
        with socket.socket() as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failed(f"no port from {wished} on is free")
