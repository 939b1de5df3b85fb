"""A command-line tool runs in a folder and a group of its own, and nothing of it outlives its end, ours or its."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from node.engines.command import PROGRAM, outcome, run
from node.engines.command_child import STDOUT
from node.engines.process import TAIL_LIMIT, Child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools of these tests are shell scripts")

FAMILY = (
    "import os, signal, subprocess, sys, time\n"
    "if 'deaf' in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(os.getcwd(), os.getpid(), child.pid, file=sys.stderr, flush=True)\n"
    "time.sleep(0 if 'swift' in sys.argv else 600)\n"
)
"""A tool that starts another process, says where it is and who they are, and ends at once if it is ``swift``."""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs' folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(true, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


async def shell(script: str, give: str = STDOUT, **environment: str) -> tuple[int | None, bytes, str]:
    child = await run(["/bin/sh", "-c", script], give, **environment)
    try:
        async with asyncio.timeout(20):
            return *outcome(await child.output()), child.tail
    finally:
        await child.stop()


async def family(*words: str) -> tuple[Child, Path, list[int]]:
    child = await run([sys.executable, "-c", FAMILY, *words], STDOUT)
    await until(lambda: child.tail.count(" ") == 2 and child.tail.endswith("\n"))
    folder, *pids = child.tail.split()
    return child, Path(folder), [int(pid) for pid in pids]


async def test_what_a_tool_leaves_in_its_folder_is_given_and_the_folder_is_gone():
    code, given, said = await shell("pwd >&2; printf 'a\\nb' > picture.png", "picture.png")
    assert (code, given) == (0, b"a\nb")
    assert not Path(said.strip()).exists()
    assert Path(said.strip()).name.startswith("herd-")


async def test_what_a_tool_prints_is_given_if_that_is_wanted():
    assert (await shell("echo here; echo there >&2"))[:2] == (0, b"here\n")


async def test_a_tool_that_fails_gives_nothing_but_its_last_words():
    assert await shell("echo made > p; echo oh no >&2; exit 3", "p") == (3, b"", "oh no\n")
    assert await shell("kill -9 $$", "p") == (-9, b"", "")
    assert await shell("true", "p") == (0, b"", "")


async def test_a_program_that_is_not_there_is_told():
    child = await run(["/absent/tool"], STDOUT)
    assert outcome(await child.output()) == (127, b"")
    assert "/absent/tool cannot be started" in child.tail
    await child.stop()


async def test_a_tool_has_no_input_and_its_own_environment(monkeypatch):
    monkeypatch.setenv("SEEN", "yes")
    assert (await shell("cat; echo $SEEN $MORE $PYTHONPATH", MORE="too", PYTHONPATH=""))[1] == b"yes too\n"


async def test_only_so_much_of_what_it_says_is_kept():
    code, _, said = await shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", "p")
    assert (code, len(said)) == (1, TAIL_LIMIT)


async def test_what_a_tool_started_does_not_outlive_it():
    child, folder, pids = await family("swift")
    assert outcome(await child.output())[0] == 0
    await until(lambda: all(map(gone, pids)))
    assert not folder.exists()
    await child.stop()


@pytest.mark.parametrize("words", [(), ("deaf",)])
async def test_a_tool_that_is_stopped_is_gone_with_all_it_started_when_stop_returns(words):
    child, folder, pids = await family(*words)
    assert not any(map(gone, pids))
    await child.stop()
    await until(lambda: all(map(gone, pids)))
    assert not folder.exists()


async def test_a_tool_does_not_survive_the_sudden_death_of_its_supervisor_by_our_hand():
    child, _, pids = await family("deaf")
    child.kill()
    await until(lambda: all(map(gone, pids)))
    await child.stop()


async def test_a_tool_does_not_outlive_a_node_that_was_killed(tmp_path: Path):
    code = (
        "import asyncio, sys\n"
        "from node.engines.command import run\n"
        "async def main():\n"
        f"    child = await run([sys.executable, '-c', {FAMILY!r}, 'deaf'], '-')\n"
        "    while child.tail.count(' ') != 2 or not child.tail.endswith('\\n'):\n"
        "        await asyncio.sleep(0.01)\n"
        "    print(child.tail, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as node:
        assert node.stdout is not None
        folder, *pids = (await asyncio.to_thread(node.stdout.readline)).decode().split()
        assert not any(gone(int(pid)) for pid in pids)
        node.kill()
        await until(lambda: all(gone(int(pid)) for pid in pids) and not Path(folder).exists())


async def test_a_run_that_is_stopped_before_it_has_begun_leaves_no_folder(folders: Path):
    for _ in range(3):
        child = await run(["/bin/sh", "-c", "sleep 600"], STDOUT)
        await child.stop()
    assert list(folders.iterdir()) == []


async def test_asking_the_supervisor_to_end_ends_the_tool():
    child, folder, pids = await family()
    assert child.pid is not None
    psutil.Process(child.pid).terminate()
    code, _ = outcome(await child.output())
    assert code == -15
    await until(lambda: all(map(gone, pids)) and not folder.exists())
    await child.stop()
