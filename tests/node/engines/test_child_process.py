"""A child ends with its parent, and one that crashes is started again ever more rarely."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines import process
from node.engines.process import TAIL_LIMIT, Child, Restarts


async def _until(true, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


async def _spawn(code: str) -> Child:
    return await Child.spawn([sys.executable, "-c", code], os.environ)


async def test_a_child_is_heard_and_ends_when_its_stdin_does():
    child = await _spawn("import sys; print('here', flush=True); sys.stdin.read()")
    await _until(lambda: child.line)
    assert (child.line, child.running) == (b"here", True)
    await child.stop()
    assert not child.running
    assert child.ending == "exited with 0"


async def test_a_child_that_does_not_listen_is_ended_by_force(monkeypatch):
    monkeypatch.setattr("node.engines.process.STOP_S", 0.1)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    child = await _spawn(deaf)
    await _until(lambda: child.line)
    await child.stop()
    assert not child.running
    await child.stop()


async def test_only_the_end_of_what_a_child_complains_is_kept():
    child = await _spawn("import sys; sys.stderr.write('x' * 1_000_000 + 'the end'); print('y' * 100_000); sys.exit(3)")
    await _until(lambda: not child.running and child.tail.endswith("the end"))
    assert len(child.tail) <= TAIL_LIMIT
    assert child.ending == "exited with 3"
    await child.stop()


async def test_a_child_that_has_ended_is_heard_out_before_its_output_is_given():
    child = Child()
    output = asyncio.create_task(child.output())
    child.pipe_connection_lost(1, None)
    child.process_exited()
    await asyncio.sleep(0.01)
    assert not output.done()
    child.pipe_data_received(2, b"its last words")
    child.pipe_connection_lost(2, None)
    assert (await output, child.tail) == (b"", "its last words")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
async def test_one_whose_stderr_is_held_open_by_another_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(process, "LAST_WORDS_S", 0.1)
    child = await _spawn("import os, time; os.fork() or (os.close(1), time.sleep(600)); os.write(1, b'done')")
    assert await child.output() == b"done"
    assert child.pid is not None
    os.killpg(child.pid, 9)
    await child.stop()


async def test_a_program_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError, match="absent"):
        await Child.spawn(["/absent/program"], {})


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
async def test_a_child_does_not_outlive_a_parent_that_was_killed():
    code = (
        "import asyncio, os, sys\n"
        "from node.engines.process import Child\n"
        "async def main():\n"
        "    child = await Child.spawn([sys.executable, '-c', 'import sys; sys.stdin.read()'], os.environ)\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(process.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    await _until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_the_first_crash_is_forgiven_at_once_and_later_ones_ever_more_slowly():
    restarts = Restarts()
    pauses = []
    now = 0.0
    for _ in range(4):
        restarts.crashed(now)
        pause = next(p for p in range(100) if restarts.may_start(now + p))
        pauses.append(pause)
        now += pause
    assert pauses == [0, 2, 4, 8]
    assert not restarts.quarantined


def test_five_crashes_in_five_minutes_are_quarantine_with_one_try_per_ten_minutes():
    restarts = Restarts()
    for now in range(5):
        restarts.crashed(now)
    assert restarts.quarantined
    assert not restarts.may_start(4 + 599)
    assert restarts.may_start(4 + 600)
    restarts.crashed(4 + 605)
    assert not restarts.may_start(4 + 605 + 599)
    restarts.crashed(10_000)
    assert not restarts.quarantined
    assert restarts.may_start(10_000)


@given(gaps=st.lists(st.floats(0, 1000), min_size=20, max_size=60))
def test_however_a_child_crashes_it_is_not_started_more_than_six_times_in_five_minutes(gaps):
    restarts, now, starts = Restarts(), 0.0, []
    for gap in gaps:
        restarts.crashed(now)
        now += gap
        while not restarts.may_start(now):
            now += 1.0
        starts.append(now)
    for first in starts:
        assert sum(first <= start < first + 300 for start in starts) <= 6
