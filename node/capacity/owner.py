"""Watches what the owner of this machine does and wishes, and says what that leaves to the fleet. Knows no router.

Three loops, none of which anybody waits for: people's wishes, camera and microphone, and the machine's use. Whatever
changes what is left is told at once by ``changed``.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import structlog

from node.capacity.ceiling import Facts, decide, is_news
from node.capacity.learner import Cell, score
from node.capacity.meeting import Meeting
from node.capacity.memory import WeekFile, WishFiles
from node.capacity.wish import Side, Wish, seconds_of, stronger
from node.capacity.workload import Sample, Window, owners
from node.machine.activity import Activity
from node.machine.usage import Meter, Usage
from node.wire import Capacity, EngineReport, Machine, Meetings

WISHES_EVERY_S = 0.25
MEETING_EVERY_S = 2.0
USE_EVERY_S = 5.0
SAVE_EVERY_S = 300.0


class Asks(Protocol):
    """Who knows whether camera or microphone are in use."""

    async def ask(self) -> Activity: ...
    async def aclose(self) -> None: ...


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the router's operator says through the door. ``for`` is a time (``2h``); empty: until he says otherwise."""

    mode: Literal["pause", "resume"]
    lasts: str = msgspec.field(default="", name="for")


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What the door tells of capacity: what is lent now, what was learned of each hour, and who wished what."""

    capacity: Capacity | None
    week: list[Cell]
    wishes: dict[Side, Wish | None]


class Owner:
    """``machine`` and ``engines`` tell what was last seen of them, ``relays`` how many requests the door passes on.

    Without ``learning`` only people's wishes count. ``meetings`` None: nobody looks for them.
    """

    def __init__(
        self,
        *,
        state_file: Path,
        week_file: Path,
        learning: bool,
        meetings: Asks | None,
        machine: Callable[[], Machine],
        engines: Callable[[], tuple[EngineReport, ...]],
        relays: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._learning = learning
        self._meetings = meetings if learning else None
        self._machine = machine
        self._engines = engines
        self._relays = relays
        self._changed = changed
        self._log = structlog.get_logger("capacity")
        self._wish_files = WishFiles(state_file)
        self._wishes = self._wish_files.read()
        self._signature = self._wish_files.signature()
        self._week_file = WeekFile(week_file)
        self._week = self._week_file.load()
        if self._week_file.damaged:
            self._log.warning("week.damaged", set_aside=str(self._week_file.damaged))
        self._saved_at = time.monotonic()
        self._meter = Meter(os.getpid())
        self._window = Window()
        self._meeting = Meeting()
        self._activity = Activity()
        self._blind = False
        self._fleet_runs = 0
        self._drawn = self._week.drawn()
        self._capacity = self._concluded()

    @property
    def capacity(self) -> Capacity | None:
        """Concluded from what is known now: the machine may have been looked at since."""
        self._judge()
        return self._capacity

    def fleet_runs(self, count: int) -> None:
        """So many requests of the fleet run here, says the router."""
        self._fleet_runs = count

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(WISHES_EVERY_S, self._look_at_wishes), name="wishes")
            if self._learning:
                tasks.create_task(self._every(USE_EVERY_S, self._look_at_use), name="use")
            if self._meetings is not None:
                tasks.create_task(self._every(MEETING_EVERY_S, self._look_for_meetings), name="meetings")

    async def aclose(self) -> None:
        if self._meetings is not None:
            await self._meetings.aclose()
        if self._learning:
            await self._save()

    async def answer(self, method: str, body: bytes) -> tuple[int, object]:
        """What the router asks or says through the door: an HTTP status and what is told."""
        if method == "POST":
            try:
                told = msgspec.json.decode(body, type=Told)
                wish = _wish(told, time.time())
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                return 400, {"error": str(error)}
            try:
                await asyncio.to_thread(self._wish_files.write, "operator", wish)
            except OSError as error:
                return 500, {"error": f"the node cannot keep it: {error.strerror or error!r}"}
            await self._hear()
        elif method != "GET":
            return 405, {"error": "GET or POST"}
        return 200, Lent(capacity=self.capacity, week=self._week.cells(time.time()), wishes=self._wishes)

    async def _every(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await look()
            except Exception as error:  # the top of a loop: what was known stands, and the next look may do
                self._log.error("capacity.unseen", exc_info=error)
            await asyncio.sleep(seconds)

    async def _look_at_wishes(self) -> None:
        if await asyncio.to_thread(self._wish_files.signature) != self._signature:
            await self._hear()
        else:
            self._judge()  # a wish may have come to its end

    async def _look_for_meetings(self) -> None:
        assert self._meetings is not None
        self._activity = activity = await self._meetings.ask()
        self._meeting.saw(activity.meeting, time.monotonic())
        if (activity.meeting is None) != self._blind:
            self._blind = not self._blind
            if self._blind:
                self._log.warning("meeting.unavailable", why=activity.why)
            else:
                self._log.info("meeting.available")
        self._judge()

    async def _look_at_use(self) -> None:
        local = [(report.kind, report.port) for report in self._engines() if report.port and report.reach != "door"]
        usage = await asyncio.to_thread(self._meter.read, local)
        if usage is not None:
            self._learn(usage)
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            await self._save()
        self._judge()

    def _learn(self, usage: Usage) -> None:
        """Take what the owner used for the truth about him; what cannot be told is not learned."""
        works = bool(self._relays() or self._fleet_runs)
        cpu = owners(usage.cpu, usage.engines_cpu, fleet_works=works)
        memory = _owners_memory(usage, self._engines(), self._machine().os)
        if cpu is not None:
            self._week.observe(datetime.now().astimezone(), cpu=cpu, memory=memory, seconds=usage.seconds)
            self._drawn = self._week.drawn()
        last = self._window.last
        held = cpu if cpu is not None else min(last.cpu, usage.cpu) if last is not None else 0.0
        self._window.add(Sample(at=time.monotonic(), cpu=held, memory=memory, network=usage.network, disk=usage.disk))

    async def _hear(self) -> None:
        self._signature = await asyncio.to_thread(self._wish_files.signature)
        self._wishes = await asyncio.to_thread(self._wish_files.read)
        self._judge()

    def _judge(self) -> None:
        """Conclude from all that is known, and tell what is new."""
        before, self._capacity = self._capacity, self._concluded()
        after = self._capacity
        if not is_news(before, after):
            return
        said = {"availability": after.availability, "mode": after.mode, "reason": after.reason} if after else {}
        self._log.info("capacity.changed", **said)
        self._changed()

    def _concluded(self) -> Capacity | None:
        now, local = time.time(), datetime.now().astimezone()
        wish = stronger(self._wishes.items(), now)
        window, last = self._window, self._window.last
        meeting = self._meeting.on(time.monotonic())
        machine = self._machine()
        usual = self._week.usual_cpu(local)
        concluded = decide(
            Facts(
                total_bytes=machine.memory_total_bytes,
                meeting=meeting,
                strained=window.strained,
                wish=None if wish is None else (wish[0], wish[1].mode),
                until=None if wish is None else wish[1].until,
                score=self._score(usual, local, last) if self._learning else None,
                usual_cpu=usual,
                days=self._week.days,
                workload=window.workload,
                pressure=machine.pressure,
                hot=machine.thermal == "warning",
            )
        )
        if concluded is None or not self._learning:
            return concluded
        return msgspec.structs.replace(
            concluded,
            availability=round(concluded.availability, 3),
            days_observed=self._week.days,
            confidence=self._week.confidence,
            workload=window.workload,
            trend=round(window.trend, 2),
            meeting=self._meeting_word(meeting),
            week=self._drawn,
        )

    def _score(self, usual: float, local: datetime, last: Sample | None) -> float:
        """Before the first look the past alone speaks; of an hour that was never seen, half is hoped."""
        sureness = self._week.sureness(local)
        if last is None:
            last = Sample(at=0.0, cpu=usual if sureness else 50.0, memory=50.0)
        return score(usual_cpu=usual, cpu=last.cpu, memory=last.memory, trend=self._window.trend, sureness=sureness)

    def _meeting_word(self, meeting: bool) -> Meetings:
        if meeting:
            return "active"
        return "unavailable" if self._meetings is None or self._activity.meeting is None else "none"

    async def _save(self) -> None:
        self._saved_at = time.monotonic()
        try:
            await asyncio.to_thread(self._week_file.save, msgspec.json.encode(self._week))
        except OSError as error:
            self._log.error("week.unwritable", file=str(self._week_file.path), error=error.strerror or repr(error))


def _wish(told: Told, now: float) -> Wish | None:
    """Raises ``ValueError``."""
    if told.mode == "resume":
        return None
    return Wish(mode="paused", until=now + seconds_of(told.lasts) if told.lasts else None)


def _owners_memory(usage: Usage, engines: tuple[EngineReport, ...], system: str) -> float:
    """Percent of the memory that is the owner's: what engines hold is the fleet's.

    On a Mac the models' memory belongs to the graphics processor's part of it, which no process shows as its own.
    """
    engines_bytes = usage.engines_bytes
    if system == "macos":
        engines_bytes = max(engines_bytes, sum(m.resident_bytes or 0 for e in engines for m in e.models if m.loaded))
    return 100 * max(0, usage.memory_used_bytes - engines_bytes) / max(usage.memory_total_bytes, 1)
