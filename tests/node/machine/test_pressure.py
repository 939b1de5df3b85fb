"""Memory pressure and machine facts, from recorded answers and from this machine."""

import threading
from pathlib import Path

import pytest

from node.machine import observe
from node.machine.observe import Observer
from node.machine.pressure import by_use, cgroup_limit_bytes, of_sysctl


@pytest.mark.parametrize(
    ("used", "word"), [(0, "normal"), (84.9, "normal"), (85, "warn"), (94.9, "warn"), (95, "critical")]
)
def test_pressure_by_use_has_the_documented_thresholds(used: float, word: str) -> None:
    assert by_use(1000, round(1000 - used * 10)) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [("1\n", "normal"), ("2\n", "warn"), ("4\n", "critical"), ("", "unavailable"), ("x", "unavailable")],
)
def test_the_level_of_macos_is_read(text: str, word: str) -> None:
    assert of_sysctl(text) == word


def test_a_containers_limit_is_read_and_no_limit_is_none(tmp_path: Path) -> None:
    assert cgroup_limit_bytes(tmp_path) is None
    (tmp_path / "memory.current").write_text("500\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroup_limit_bytes(tmp_path) is None
    (tmp_path / "memory.max").write_text("2000\n")
    assert cgroup_limit_bytes(tmp_path) == (2000, 500)


async def test_this_machine_is_observed(tmp_path: Path) -> None:
    facts = await Observer(tmp_path / "models" / "not-there").observe()
    assert facts.memory_total_bytes > facts.memory_available_bytes > 0
    assert facts.cores >= 1
    assert facts.disk_free_bytes is not None
    assert 0 <= facts.cpu_percent <= 100


async def test_a_question_that_hangs_leaves_the_last_answer_standing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Observer(tmp_path)
    known = await observer.observe()
    freed = threading.Event()
    monkeypatch.setattr(observe, "_ask", lambda *_: freed.wait(10))
    monkeypatch.setattr(observe, "BUDGET_S", 0.05)
    assert await observer.observe() == known
    assert await observer.observe() == known
    freed.set()
