"""A child process that ends with this one, and the rule of when to start it again. Knows no engine.

The child is told to live by its open stdin: when this process ends, however it ends, the pipe closes and the child
exits by itself. That is the same on every system.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, cast

TAIL_LIMIT = 4096
LINE_LIMIT = 4096
STOP_S = 3.0
LAST_WORDS_S = 1.0
"""Seconds that a child which has ended may still be heard: others may hold its stderr open for ever."""


class Child(asyncio.SubprocessProtocol):
    """One run of a program. ``line`` is its first line of output, ``tail`` the end of what it said on stderr.

    Of its output the first ``output_limit`` bytes are kept.
    """

    def __init__(self, output_limit: int = LINE_LIMIT) -> None:
        self._output = bytearray()
        self._output_limit = output_limit
        self._errors = bytearray()
        self._exited = asyncio.Event()
        self._silent = {1: asyncio.Event(), 2: asyncio.Event()}
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def spawn(
        cls, command: Sequence[str], environment: Mapping[str, str], *, output_limit: int = LINE_LIMIT
    ) -> Self:
        """Start a program in its own process group, so that our Ctrl-C is not its. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        apart = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
        _, child = await loop.subprocess_exec(lambda: cls(output_limit), *command, env=dict(environment), **apart)
        return child

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport else None

    @property
    def running(self) -> bool:
        return not self._exited.is_set()

    @property
    def said(self) -> bytes:
        """The beginning of its output, up to the limit."""
        return bytes(self._output)

    @property
    def line(self) -> bytes | None:
        at = self._output.find(b"\n")
        return bytes(self._output[:at]) if at >= 0 else None

    @property
    def tail(self) -> str:
        return self._errors.decode("utf-8", "replace")

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self._transport.get_returncode() if self._transport else None
        return "is running" if code is None else f"was ended by signal {-code}" if code < 0 else f"exited with {code}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # before the first of what it says

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1 and len(self._output) < self._output_limit:
            self._output += data[: self._output_limit - len(self._output)]
        elif fd == 2:
            self._errors += data
            del self._errors[:-TAIL_LIMIT]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd in self._silent:
            self._silent[fd].set()

    def process_exited(self) -> None:
        self._exited.set()

    def kill(self) -> None:
        """End it and what it has started itself, by force and without waiting."""
        pid = self.pid
        if pid is None or not self.running:
            return
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                os.kill(pid, signal.SIGTERM)  # there, every signal is force
            else:
                os.killpg(pid, signal.SIGKILL)

    async def output(self) -> bytes:
        """All that it wrote to its stdout, once it has ended; ``tail`` then has its last words."""
        await self._silent[1].wait()
        await self._exited.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._silent[2].wait()
        return bytes(self._output)

    async def stop(self) -> None:
        """End it: by closing its stdin, then by asking, then by force, which its own children feel too.

        Returns once it is gone.
        """
        transport = self._transport
        if transport is None:
            return
        stdin = transport.get_pipe_transport(0)
        try:
            if stdin is not None:
                stdin.close()
            for force in (transport.terminate, self.kill):
                if await self._gone():
                    break
                force()
            await self._exited.wait()
        except ProcessLookupError:
            pass
        finally:
            self.kill()
            transport.close()

    async def _gone(self) -> bool:
        try:
            async with asyncio.timeout(STOP_S):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True


def own_program(module: str, *words: str) -> list[str]:
    """The command line of a program of this tree."""
    return [sys.executable, "-P", "-m", module, *words]


def own_environment(**more: str) -> dict[str, str]:
    """The environment in which a program of this tree finds itself, and in which its threads wait without spinning.

    OpenMP's spinning threads would starve everything else on a small machine.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": os.pathsep.join(paths), **more}


class Restarts:
    """When a child that crashed may be started again: at once, after 2 s, 4 s, ...; rarely once it is in quarantine.

    Five crashes within five minutes are quarantine: one try per ten minutes, until a run lasts that long.
    """

    LIMIT = 5
    WINDOW_S = 300.0
    QUARANTINE_S = 600.0

    def __init__(self) -> None:
        self._crashes: deque[float] = deque(maxlen=self.LIMIT)
        self._not_before = 0.0
        self.quarantined = False

    def crashed(self, now: float) -> None:
        if self._crashes and now - self._crashes[-1] > self.QUARANTINE_S + self.WINDOW_S:
            self._crashes.clear()
            self.quarantined = False
        self._crashes.append(now)
        recent = [at for at in self._crashes if now - at <= self.WINDOW_S]
        self.quarantined = self.quarantined or len(recent) >= self.LIMIT
        pause = self.QUARANTINE_S if self.quarantined else 2.0 ** (len(recent) - 1) if len(recent) > 1 else 0.0
        self._not_before = now + pause

    def wait_s(self, now: float) -> float:
        """Seconds until it may be started."""
        return max(self._not_before - now, 0.0)

    def may_start(self, now: float) -> bool:
        return not self.wait_s(now)
