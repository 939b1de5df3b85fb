"""A child process that ends with this one, and the rule of when to start it again. Knows no engine.

The child is told to live by its open stdin: when this process ends, however it ends, the pipe closes and the child
exits by itself. That is the same on every system.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Mapping, Sequence

TAIL_LIMIT = 4096
LINE_LIMIT = 4096
STOP_S = 3.0


class Child(asyncio.SubprocessProtocol):
    """One run of a program. ``line`` is its first line of output, ``tail`` the end of what it said on stderr."""

    def __init__(self) -> None:
        self._output = bytearray()
        self._errors = bytearray()
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None

    @classmethod
    async def spawn(cls, command: Sequence[str], environment: Mapping[str, str]) -> "Child":
        """Start a program in its own process group, so that our Ctrl-C is not its. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        apart = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
        transport, child = await loop.subprocess_exec(cls, *command, env=dict(environment), **apart)
        child._transport = transport
        return child

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport else None

    @property
    def running(self) -> bool:
        return not self._exited.is_set()

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

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1 and len(self._output) < LINE_LIMIT:
            self._output += data[: LINE_LIMIT - len(self._output)]
        elif fd == 2:
            self._errors += data
            del self._errors[:-TAIL_LIMIT]

    def process_exited(self) -> None:
        self._exited.set()

    async def stop(self) -> None:
        """End it: by closing its stdin, then by asking, then by force. Returns once it is gone."""
        transport = self._transport
        if transport is None:
            return
        stdin = transport.get_pipe_transport(0)
        try:
            if stdin is not None:
                stdin.close()
            for force in (transport.terminate, transport.kill):
                if await self._gone():
                    break
                force()
            await self._exited.wait()
        except ProcessLookupError:
            pass
        finally:
            transport.close()

    async def _gone(self) -> bool:
        try:
            async with asyncio.timeout(STOP_S):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True


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

    def may_start(self, now: float) -> bool:
        return now >= self._not_before
