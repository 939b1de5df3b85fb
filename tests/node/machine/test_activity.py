"""The child process that looks for meetings: what becomes of answers, hangs, crashes and nonsense."""

import sys
from pathlib import Path

import pytest

from node.machine import activity
from node.machine.activity import Activity, ActivityWatch

ANSWERS = """
import sys
for number, _ in enumerate(sys.stdin):
    print('{"camera": %s, "microphone": false, "why": ""}' % ("true" if number else "false"), flush=True)
"""
HANGS = "import sys, time; sys.stdin.readline(); time.sleep(600)"
CRASHES = "import sys; sys.stdin.readline(); sys.exit(3)"
BABBLES = "import sys; sys.stdin.readline(); print('[', flush=True); sys.stdin.read()"


def watch(program: str) -> ActivityWatch:
    return ActivityWatch((sys.executable, "-c", program))


async def test_one_child_answers_again_and_again_and_ends_with_its_watch() -> None:
    watching = watch(ANSWERS)
    assert (await watching.ask()).meeting is False
    child = watching._child
    assert (await watching.ask()).meeting is True
    assert watching._child is child
    await watching.aclose()
    assert child is not None
    assert child.returncode is not None


@pytest.mark.parametrize("program", [HANGS, CRASHES, BABBLES])
async def test_a_child_that_fails_is_ended_told_and_left_alone_for_a_while(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "BUDGET_S", 0.5)
    monkeypatch.setattr(activity, "AGAIN_FIRST_S", 3600.0)
    watching = watch(program)
    first, second = await watching.ask(), await watching.ask()
    assert first.meeting is None
    assert "failed" in first.why
    assert second == first
    assert watching._child is None


async def test_a_child_that_failed_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "AGAIN_FIRST_S", 0.0)
    once = (
        f"import pathlib; p = pathlib.Path({str(tmp_path / 'was')!r})\nif not p.exists(): p.touch(); raise SystemExit\n"
    )
    watching = watch(once + ANSWERS)
    assert (await watching.ask()).meeting is None
    assert (await watching.ask()).meeting is False
    await watching.aclose()


async def test_the_real_child_answers_for_this_machine() -> None:
    watching = ActivityWatch()
    seen = await watching.ask()
    assert seen.camera is not None or seen.why
    assert seen.microphone is not None or seen.why
    assert (await watching.ask()) == seen
    await watching.aclose()


def test_who_can_see_one_of_two_does_not_know_that_there_is_no_meeting() -> None:
    assert Activity(camera=False).meeting is None
    assert Activity(camera=True).meeting is True
    assert Activity(camera=False, microphone=False).meeting is False
    assert Activity(microphone=True, camera=False).meeting is True
