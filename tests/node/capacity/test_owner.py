"""The watch over an owner, told what it would see: meetings, wishes, use, the door's questions, and what it keeps."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.capacity import meeting, owner
from node.capacity.learner import Week
from node.capacity.memory import WeekFile, WishFiles
from node.capacity.owner import Owner
from node.capacity.wish import Wish
from node.machine.activity import Activity
from node.machine.usage import Usage
from node.wire import Capacity, Machine

GIB = 1024**3
QUIET = Activity(camera=False, microphone=False)
CALL = Activity(camera=False, microphone=True)


class Room:
    """Says what it is told to have seen; ``ask`` may be made to fail."""

    def __init__(self, seen: Activity = QUIET) -> None:
        self.seen: Activity | Exception = seen
        self.closed = False

    async def ask(self) -> Activity:
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    async def aclose(self) -> None:
        self.closed = True


class Watched:
    """An owner under watch; ``news`` counts what would have been told at once."""

    def __init__(self, home: Path, **told: Any) -> None:
        self.news = 0
        self.state_file = home / "nodes" / "n.json"
        self.relays = 0
        self.machine = Machine(os="linux", memory_total_bytes=64 * GIB, pressure="normal")
        facts: dict[str, Any] = {"learning": True, "meetings": Room(), "engines": tuple, **told}
        self.owner = Owner(
            state_file=self.state_file, week_file=home / "week.json", relays=lambda: self.relays,
            machine=lambda: self.machine,
            changed=self._told, **facts,
        )  # fmt: skip

    def _told(self) -> None:
        self.news += 1

    @property
    def capacity(self) -> Capacity:
        assert self.owner.capacity is not None
        return self.owner.capacity

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not what():
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.owner.run())
            yield
            running.cancel()
        await self.owner.aclose()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("WISHES_EVERY_S", 0.02), ("MEETING_EVERY_S", 0.02), ("USE_EVERY_S", 0.05)):
        monkeypatch.setattr(owner, name, seconds)


def usage(cpu: float, engines_cpu: float | None = 0.0, **more: Any) -> Usage:
    facts = {"memory_total_bytes": 64 * GIB, "memory_used_bytes": 32 * GIB, "engines_bytes": 0}
    return Usage(seconds=5, cpu=cpu, engines_cpu=engines_cpu, network=0, disk=0, **{**facts, **more})


async def test_a_call_pauses_at_once_and_its_end_is_believed_after_some_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "QUIET_S", 0.3)
    room = Room()
    watched = Watched(tmp_path, meetings=room)
    async with watched.running():
        await watched.until(lambda: watched.capacity.meeting == "none")
        assert watched.capacity.mode == "bootstrap"
        room.seen = CALL
        await watched.until(lambda: watched.capacity.mode == "paused")
        assert (watched.capacity.reason, watched.capacity.meeting) == ("meeting_detected", "active")
        assert watched.news == 1
        room.seen, began = QUIET, time.monotonic()
        await watched.until(lambda: watched.capacity.mode != "paused")
        assert time.monotonic() - began > 0.2
        assert watched.news == 2
    assert room.closed


async def test_who_cannot_see_meetings_says_so_and_goes_on(tmp_path: Path) -> None:
    room = Room(Activity(why="no tool answers"))
    watched = Watched(tmp_path, meetings=room)
    async with watched.running():
        await watched.until(lambda: watched.owner._blind)
        assert watched.capacity.meeting == "unavailable"
        room.seen = RuntimeError("a fault of ours")
        await asyncio.sleep(0.1)
        room.seen = CALL
        await watched.until(lambda: watched.capacity.mode == "paused")


async def test_a_wish_is_heard_soon_counts_without_learning_too_and_holds_over_a_restart(tmp_path: Path) -> None:
    watched = Watched(tmp_path, learning=False)
    files = WishFiles(watched.state_file)
    async with watched.running():
        assert watched.owner.capacity is None
        files.write("owner", Wish(mode="paused"))
        await watched.until(lambda: watched.owner.capacity is not None)
        assert (watched.capacity.mode, watched.capacity.reason) == ("paused", "manual_override")
    again = Watched(tmp_path, learning=False)
    assert again.capacity.mode == "paused"
    async with again.running():
        files.write("owner", None)
        await again.until(lambda: again.owner.capacity is None)


async def test_a_wish_for_a_time_ends_by_itself_and_that_is_told(tmp_path: Path) -> None:
    watched = Watched(tmp_path, learning=False)
    async with watched.running():
        WishFiles(watched.state_file).write("owner", Wish(mode="paused", until=time.time() + 0.3))
        await watched.until(lambda: watched.news == 1)
        await watched.until(lambda: watched.news == 2)
        assert watched.owner.capacity is None


async def test_the_operator_pauses_and_resumes_by_the_door_and_the_owner_goes_first(tmp_path: Path) -> None:
    watched = Watched(tmp_path, learning=False)
    files = WishFiles(watched.state_file)
    status, _ = await watched.owner.answer("POST", b'{"mode":"pause","for":"2h"}')
    assert status == 200
    assert watched.capacity.reason == "operator_override"
    assert watched.capacity.until == pytest.approx(time.time() + 7200, abs=60)
    files.write("owner", Wish(mode="paused"))
    status, _ = await watched.owner.answer("POST", b'{"mode":"resume"}')
    assert (status, watched.capacity.mode, watched.capacity.reason) == (200, "paused", "manual_override")
    assert files.read() == {"owner": Wish(mode="paused"), "operator": None}


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("POST", b"", 400),
        ("POST", b"[]", 400),
        ("POST", b'{"mode":"full"}', 400),
        ("POST", b'{"mode":"pause","for":"soon"}', 400),
        ("POST", b'{"mode":"pause","until":3}', 400),
        ("PUT", b"", 405),
        ("GET", b"", 200),
    ],
)
async def test_what_makes_no_sense_at_the_door_is_refused(
    tmp_path: Path, method: str, body: bytes, status: int
) -> None:
    watched = Watched(tmp_path)
    said, answer = await watched.owner.answer(method, body)
    assert said == status
    told = msgspec.json.decode(msgspec.json.encode(answer))
    assert ("error" in told) == (status != 200)
    if status == 200:
        assert len(told["week"]) == 168
        assert told["wishes"] == {"owner": None, "operator": None}


def test_what_the_fleet_takes_is_not_learned_as_the_owners(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    for _ in range(30):
        watched.owner._learn(usage(95, 93))
    watched.owner._judge()
    assert watched.capacity.mode != "paused"
    assert watched.capacity.workload == "idle"
    assert max(hour.cpu_percent for hour in watched.owner._week.hours) == pytest.approx(2)


def test_a_hot_machine_lends_less(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.owner._week.days = 30
    watched.owner._learn(usage(0, memory_used_bytes=0))
    assert watched.capacity.mode == "full"
    watched.machine = msgspec.structs.replace(watched.machine, thermal="warning")
    assert (watched.capacity.mode, watched.capacity.reason) == ("learned_low", "machine_hot")


def test_models_in_memory_are_not_the_owners_memory(tmp_path: Path) -> None:
    light, heavy = Watched(tmp_path / "a"), Watched(tmp_path / "b")
    light.owner._learn(usage(0, memory_used_bytes=60 * GIB, engines_bytes=50 * GIB))
    heavy.owner._learn(usage(0, memory_used_bytes=60 * GIB))
    for one in (light, heavy):
        one.owner._judge()
    assert light.capacity.availability > heavy.capacity.availability


def test_while_the_fleet_works_and_nobody_can_say_how_much_nothing_is_learned(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.owner._learn(usage(8, None))
    known = watched.owner._week.seconds
    watched.relays = 1
    for _ in range(30):
        watched.owner._learn(usage(99, None))
    watched.relays = 0
    watched.owner.fleet_runs(2)
    watched.owner._learn(usage(99, None))
    watched.owner._judge()
    assert watched.owner._week.seconds == known
    assert watched.capacity.mode != "paused"
    watched.owner.fleet_runs(0)
    watched.owner._learn(usage(99, None))
    assert watched.owner._week.seconds > known


def test_an_owner_who_needs_all_of_it_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, now = Watched(tmp_path), [1000.0]
    monkeypatch.setattr(owner.time, "monotonic", lambda: now[0])
    for _ in range(26):
        now[0] += 5
        watched.owner._learn(usage(97))
    watched.owner._judge()
    assert (watched.capacity.mode, watched.capacity.reason) == ("paused", "sustained_high_cpu")


async def test_the_week_is_kept_now_and_then_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "SAVE_EVERY_S", 0.0)
    watched = Watched(tmp_path)
    file = WeekFile(tmp_path / "week.json")
    async with watched.running():
        await watched.until(lambda: file.load().seconds > 0)
    kept = file.load()
    assert kept == watched.owner._week
    assert Watched(tmp_path).owner._week == kept


async def test_a_week_that_makes_no_sense_is_set_aside_and_one_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "week.json").write_text("{half")
    watched = Watched(tmp_path)
    assert watched.owner._week == Week.new()
    assert (tmp_path / "week.damaged").read_text() == "{half"
    (tmp_path / "week.new").mkdir()  # where the draft would go
    monkeypatch.setattr(owner, "SAVE_EVERY_S", 0.0)
    async with watched.running():
        await watched.until(lambda: watched.owner._week.seconds > 0)
