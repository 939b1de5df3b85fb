"""Asks whether somebody is in a meeting: camera or microphone in use. Knows no system and nothing of what follows.

The question is put to a child process, because what it calls may hang, crash or be held up by the system: a child that
does not answer in time is ended, and started again ever less often.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

BUDGET_S = 5.0
"""Seconds in which a child must answer; it asks tools of the system that have less."""
AGAIN_FIRST_S, AGAIN_MOST_S = 5.0, 600.0
END_S = 2.0
APART: dict[str, Any] = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
"""In a process group of its own, so that our Ctrl-C is not its."""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """None: it cannot be told, and ``why`` says what is missing."""

    camera: bool | None = None
    microphone: bool | None = None
    why: str = ""

    @property
    def meeting(self) -> bool | None:
        """None as soon as one of the two cannot be seen: nobody then knows that there is none."""
        seen = (self.camera, self.microphone)
        return True if any(seen) else None if None in seen else False


class ActivityWatch:
    """``command`` is the child's program. ``ask`` is to be called by one task at a time."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = command or (sys.executable, "-P", "-m", "node.machine.activity_child")
        self._child: asyncio.subprocess.Process | None = None
        self._again_at = 0.0
        self._pause_s = AGAIN_FIRST_S
        self._why = ""

    async def ask(self) -> Activity:
        """What is in use now. Never raises for what the child does, and takes no longer than its budget."""
        clock = asyncio.get_running_loop().time
        if self._child is None and clock() < self._again_at:
            return Activity(why=self._why)
        try:
            async with asyncio.timeout(BUDGET_S):
                activity = await self._answer()
        except (TimeoutError, OSError, ValueError, msgspec.DecodeError) as error:
            self._why = f"the look at camera and microphone failed: {error or type(error).__name__}"
            self._again_at = clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, AGAIN_MOST_S)
            await self.aclose()
            return Activity(why=self._why)
        self._pause_s = AGAIN_FIRST_S
        return activity

    async def aclose(self) -> None:
        """End the child. One that the system holds fast is left to the system."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await child.wait()

    async def _answer(self) -> Activity:
        if self._child is None:
            self._child = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, env=_environment(), **APART,
            )  # fmt: skip
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        await child.stdin.drain()
        line = await child.stdout.readline()
        if not line:
            raise OSError("its process ended")
        return msgspec.json.decode(line, type=Activity)


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
