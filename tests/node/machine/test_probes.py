"""Questions that hang, fail and come back: who is asked again, who is waited for, what stands meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.machine import probes
from node.machine.probes import Probe, Probes


class Question:
    """A probe's question: ``answer`` is what it tells, or raises; ``freed`` unset: it hangs."""

    def __init__(self, answer: Mapping[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked = 0
        self.freed = threading.Event()
        self.freed.set()

    def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        self.freed.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def probe(self, name: str = "p", every_s: float = 0.0, *, fades: bool = True) -> Probe:
        return Probe(name=name, ask=self, every_s=every_s, fades=fades)


@pytest.fixture(autouse=True)
def short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "BUDGET_S", 0.1)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


async def test_each_probe_is_asked_at_its_own_pace() -> None:
    often, seldom = Question({"a": 1}), Question({"b": 2})
    known = Probes([often.probe("often"), seldom.probe("seldom", 3600.0)])
    for _ in range(3):
        assert await known.facts() == {"a": 1, "b": 2}
    assert (often.asked, seldom.asked) == (3, 1)


async def test_one_that_hangs_is_not_asked_again_and_the_others_go_on() -> None:
    stuck, well = Question({"a": 1}), Question({"b": 1})
    known = Probes([stuck.probe("stuck"), well.probe("well")])
    assert await known.facts() == {"a": 1, "b": 1}
    stuck.freed.clear()
    well.answer = {"b": 2}
    with capture_logs() as logs:
        for _ in range(5):
            assert await known.facts() == {"a": 1, "b": 2}
    assert (stuck.asked, well.asked) == (2, 6)
    assert [(line["event"], line["probe"]) for line in logs] == [("machine.slow", "stuck")]
    stuck.answer = {"a": 7}
    stuck.freed.set()
    async with asyncio.timeout(10):
        while (await known.facts())["a"] != 7:
            await asyncio.sleep(0.005)


async def test_one_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    async def wait(asked: Any, *, timeout: float) -> Any:
        waits.append(len(list(asked)))
        return set(), set()

    stuck = Question({"a": 1})
    stuck.freed.clear()
    known = Probes([stuck.probe()])
    monkeypatch.setattr("node.machine.probes.asyncio.wait", wait)
    for _ in range(4):
        await known.facts()
    assert waits == [1]
    stuck.freed.set()


@pytest.mark.parametrize("fault", [OSError("gone"), ZeroDivisionError("a fault of ours")])
async def test_a_fault_is_told_once_and_the_last_answer_stands(fault: Exception) -> None:
    question = Question({"a": 1})
    known = Probes([question.probe("heat")])
    await known.facts()
    question.answer = fault
    with capture_logs() as logs:
        for _ in range(3):
            assert await known.facts() == {"a": 1}
    assert [(line["event"], line["probe"], line["error"]) for line in logs] == [
        ("machine.unavailable", "heat", repr(fault))
    ]


async def test_what_was_not_answered_for_long_is_no_truth_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "FADE_S", 0.0)
    fading, lasting = Question({"a": 1}), Question({"b": 1})
    known = Probes([fading.probe("a"), lasting.probe("b", fades=False)])
    await known.facts()
    fading.answer = lasting.answer = OSError("gone")
    await asyncio.sleep(0.01)
    assert await known.facts() == {"b": 1}


def test_a_thread_that_hangs_keeps_no_program_from_ending() -> None:
    import subprocess
    import sys

    program = (
        "import asyncio, time; from node.machine import probes; probes.BUDGET_S = 0.01\n"
        "probe = probes.Probe(name='p', ask=lambda: time.sleep(600), every_s=1.0)\n"
        "print(asyncio.run(probes.Probes([probe]).facts()))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "{}")
