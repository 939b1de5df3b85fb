"""A child that is to be there is there once, comes back after a crash, and ends at once with all that it started."""

import asyncio
import os
import sys

import psutil
import pytest

from node.engines.kept import Kept
from node.engines.process import Child

LIVES = "import sys; sys.stdin.read()"
CRASHES = "import sys; sys.exit('no such luck')"
PARENT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "child.wait()\n"
)


def kept(code: str) -> tuple[Kept[Child], list[Child]]:
    spawned: list[Child] = []

    async def spawn() -> Child:
        spawned.append(await Child.spawn([sys.executable, "-c", code], os.environ))
        return spawned[-1]

    return Kept("The engine", spawn), spawned


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def crash(child: Kept[Child]) -> None:
    """Wait until the child has ended and that was noted."""
    async with asyncio.timeout(20):
        trouble = child.trouble
        while child.trouble == trouble:
            await child.tend()
            await asyncio.sleep(0.01)


async def test_however_many_ask_for_the_child_there_is_one() -> None:
    child, spawned = kept(LIVES)
    assert len(set(await asyncio.gather(*(child.tend() for _ in range(5))))) == 1
    assert len(spawned) == 1
    await child.aclose()
    assert await child.tend() is None, "after its engine was closed there is none"


async def test_a_crash_is_told_with_the_childs_last_word_and_another_child_is_started() -> None:
    child, spawned = kept(CRASHES)
    await child.tend()
    await crash(child)
    assert child.trouble == "The engine exited with 1. Its last word: no such luck"
    assert len(spawned) == 2
    await child.aclose()


async def test_a_program_that_is_not_there_is_a_crash() -> None:
    async def spawn() -> Child:
        return await Child.spawn(["/absent/program"], {})

    child = Kept("The engine", spawn)
    assert await child.tend() is None
    assert child.trouble.startswith("The engine cannot be started: ")


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
async def test_what_is_ended_on_purpose_ends_with_what_it_started_and_is_no_crash() -> None:
    child, spawned = kept(PARENT)
    await child.tend()
    async with asyncio.timeout(20):
        while not spawned[0].line:
            await asyncio.sleep(0.01)
    grandchild = int(spawned[0].line or 0)
    await child.end()
    assert not spawned[0].running
    async with asyncio.timeout(10):
        while alive(grandchild):
            await asyncio.sleep(0.01)
    assert await child.tend() is not None
    assert (child.trouble, len(spawned)) == ("", 2)
    await child.end()
    await child.aclose()
