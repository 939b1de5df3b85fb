"""How much of this machine is used, and how much of that by its engines. Knows no model and no owner.

Everything here blocks for some milliseconds: call it in a thread. Rates are between two readings of one ``Meter``; it
asks for running totals, which no other reader can spoil.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
import psutil

LOOK_AGAIN_S = 30.0
"""Seconds for which the processes behind the engines' ports are remembered."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Over the ``seconds`` since the last reading. Percent are of the whole machine; rates are bytes a second.

    ``engines_cpu`` is None where an engine's process cannot be seen: nobody knows how much of ``cpu`` is its.
    ``engines_bytes`` is the memory that engines' processes hold, as far as they can be seen.
    """

    seconds: float
    cpu: float
    engines_cpu: float | None
    memory_total_bytes: int
    memory_used_bytes: int
    engines_bytes: int
    network: float
    disk: float


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    busy_s: float
    total_s: float
    by_process: Mapping[int, float]
    network: int
    disk: int


class Meter:
    """``own`` is the process whose children are engines too: this node's."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._last: _Reading | None = None
        self._listeners: dict[int, int] = {}
        self._look_at = 0.0

    def read(self, engines: Collection[tuple[str, int]]) -> Usage | None:
        """``engines`` are kind and port of those that listen on this machine. None: the first reading."""
        now = time.monotonic()
        roots, all_seen = self._roots(engines, now)
        held = _family(roots)
        times = {process.pid: spent for process in held if (spent := _cpu_seconds(process)) is not None}
        busy_s, total_s = _system_seconds()
        reading = _Reading(
            at=now, busy_s=busy_s, total_s=total_s, by_process=times, network=_network_bytes(), disk=_disk_bytes()
        )
        last, self._last = self._last, reading
        if last is None or now <= last.at or total_s <= last.total_s:
            return None
        seconds = now - last.at
        engines_s = sum(max(0.0, spent - last.by_process.get(pid, spent)) for pid, spent in times.items())
        share = 100 / (total_s - last.total_s)
        memory = psutil.virtual_memory()
        cpu = min(100.0, max(0.0, (busy_s - last.busy_s) * share))
        return Usage(
            seconds=seconds,
            cpu=cpu,
            engines_cpu=min(cpu, engines_s * share) if all_seen and len(times) == len(held) else None,
            memory_total_bytes=memory.total,
            memory_used_bytes=max(0, memory.total - memory.available),
            engines_bytes=sum(_own_bytes(process) for process in held),
            network=max(0, reading.network - last.network) / seconds,
            disk=max(0, reading.disk - last.disk) / seconds,
        )

    def _roots(self, engines: Collection[tuple[str, int]], now: float) -> tuple[set[int], bool]:
        """The processes under which engines run, and whether each engine's was found."""
        gone = any(not psutil.pid_exists(pid) for pid in self._listeners.values())
        if gone or now >= self._look_at:
            self._listeners = _listeners({port for _, port in engines})
            self._look_at = now + LOOK_AGAIN_S
        found = {self._own, *self._listeners.values()}
        unseen = {kind for kind, port in engines if port not in self._listeners}
        if "ollama" in unseen:  # it may run as another user, whose ports are not ours to see
            named = _named("ollama")
            found |= named
            unseen -= {"ollama"} if named else set()
        return found, not unseen


def _listeners(ports: Collection[int]) -> dict[int, int]:
    """Which process listens on these ports, as far as this user may see."""
    return {
        connection.laddr.port: pid
        for pid, connection in _connections()
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port in ports
    }


def _connections() -> Iterator[tuple[int, Any]]:
    try:
        yield from ((told.pid, told) for told in psutil.net_connections("tcp") if told.pid)
    except (psutil.Error, OSError):  # macOS tells of all at once to root only
        for process in psutil.process_iter():
            try:
                yield from ((process.pid, told) for told in process.net_connections("tcp"))
            except (psutil.Error, OSError):
                continue


def _named(name: str) -> set[int]:
    return {process.pid for process in psutil.process_iter() if _name(process) == name}


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name()).lower().removesuffix(".exe")
    except (psutil.Error, OSError):
        return ""


def _family(roots: set[int]) -> list[psutil.Process]:
    """These processes and all that descend from them, in one walk over the process table."""
    everybody = {process.pid: process for process in psutil.process_iter()}
    children: dict[int, list[int]] = {}
    for pid, process in everybody.items():
        children.setdefault(_parent(process), []).append(pid)
    found: dict[int, psutil.Process] = {}
    waiting = [pid for pid in roots if pid in everybody]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = everybody[pid]
            waiting += children.get(pid, [])
    return list(found.values())


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except (psutil.Error, OSError):
        return 0


def _cpu_seconds(process: psutil.Process) -> float | None:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    except (psutil.Error, OSError):
        return None
    return float(times.user + times.system)


def _own_bytes(process: psutil.Process) -> int:
    """What would be free without it: pages of model files on disk are the system's to drop, and not counted."""
    try:
        memory = process.memory_info()
    except (psutil.Error, OSError):
        return 0
    return max(0, int(memory.rss) - int(getattr(memory, "shared", 0)))


def _system_seconds() -> tuple[float, float]:
    """Busy and all seconds of all processors together since the system started."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # they are in user, too
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _network_bytes() -> int:
    """Sent and received, the machine's talk with itself left out."""
    try:
        cards = psutil.net_io_counters(pernic=True)
    except (psutil.Error, OSError):
        return 0
    return sum(card.bytes_sent + card.bytes_recv for name, card in cards.items() if not name.lower().startswith("lo"))


def _disk_bytes() -> int:
    try:
        disks = psutil.disk_io_counters()
    except (psutil.Error, OSError, RuntimeError):
        return 0
    return disks.read_bytes + disks.write_bytes if disks is not None else 0
