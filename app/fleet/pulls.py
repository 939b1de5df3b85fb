"""The pulls under way: one for each node and model, heard by all who want it. Knows no dialect of clients.

A pull runs in the router's own task group, so that it outlives the request that began it. It lives as long as somebody
waits for it: a client that reads its progress, or a request for the model. When the last one leaves, it is stopped, as
an Ollama stops a pull whose client leaves; what it has brought so far stays on the node's disk for the next one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec
import structlog

from app.errors import EngineFailed, EngineRejected, HerdError, NoRoom, PullFailed, StreamBroken
from app.fleet.arrivals import Arrivals
from app.fleet.node_client import Answer, NodeClient
from app.fleet.placement import Placement
from app.fleet.pull import Pull
from app.fleet.registry import Registry
from node.wire import model_key

SILENT_S = 1800.0
"""Seconds without a line after which a pull has failed: an engine checks a large file in silence for minutes."""
LOOK_S = 1.0
WAITING_MOST = 256
"""Lines kept for a client that reads slowly; older ones are dropped, the last ones never."""
LINE_MOST = 1024 * 1024
GIB = 1024**3


class Listener:
    """One client of a pull: ``next`` gives its lines as the engine wrote them, and nothing at the end."""

    def __init__(self, pull: Pull) -> None:
        self._pull = pull
        self._lines: deque[bytes] = deque(pull.recap.values(), maxlen=WAITING_MOST)
        self._news = asyncio.Event()

    def put(self, line: bytes) -> None:
        self._lines.append(line)
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def next(self) -> bytes:
        while not self._lines and not self._pull.ended:
            self._news.clear()
            await self._news.wait()
        return self._lines.popleft() if self._lines else b""


class Pulls:
    """``clock`` is the event loop's monotonic seconds. ``reserve_gb`` stays free on the disk of a chosen node."""

    def __init__(
        self,
        *,
        nodes: NodeClient,
        registry: Registry,
        placement: Placement,
        arrivals: Arrivals,
        reserve_gb: float,
        clock: Callable[[], float],
    ) -> None:
        self._nodes = nodes
        self._registry = registry
        self._placement = placement
        self._arrivals = arrivals
        self._reserve_bytes = int(reserve_gb * GIB)
        self._clock = clock
        self._running: dict[tuple[str, str], Pull] = {}
        self._work: dict[Pull, asyncio.Task[None]] = {}
        self._listeners: dict[Pull, set[Listener]] = {}
        self._why: dict[Pull, HerdError] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._log = structlog.get_logger("fleet")

    async def run(self) -> None:
        """The home of all pulls: they end with it."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await asyncio.sleep(LOOK_S)
                self._sweep()

    def all(self) -> tuple[Pull, ...]:
        return tuple(self._running.values())

    def find(self, name: str, node_id: str = "") -> Pull | None:
        """A pull of this model that is under way, to this node or to any."""
        key = model_key(name)
        return next(
            (
                pull
                for pull in self._running.values()
                if pull.key == key and node_id in ("", pull.node_id) and pull not in self._why
            ),
            None,
        )

    def want(self, name: str, *, node_id: str = "", insecure: bool = False, most_bytes: int | None = None) -> Pull:
        """The pull of this model that is under way, else a new one to the best node or the named one.

        Who wants it must ``leave`` it again. ``most_bytes`` bounds a pull that nobody wants without a bound. Raises a
        ``HerdError`` when none begins.
        """
        pull = self.find(name, node_id)
        if pull is None:
            pull = self._begin(name, node_id, insecure=insecure, most_bytes=most_bytes)
        elif most_bytes is None:
            pull.most_bytes = None
        pull.wanted += 1
        return pull

    def leave(self, pull: Pull) -> None:
        """One who wanted it does so no longer."""
        pull.wanted -= 1
        if not pull.wanted and not pull.kept:
            self.stop(pull, StreamBroken(f"the pull of {pull.name} was stopped: nobody waits for it any more"))

    def listen(self, pull: Pull) -> Listener:
        listener = Listener(pull)
        self._listeners.setdefault(pull, set()).add(listener)
        return listener

    def deafen(self, pull: Pull, listener: Listener) -> None:
        self._listeners.get(pull, set()).discard(listener)

    def stop(self, pull: Pull, why: HerdError) -> None:
        work = self._work.get(pull)
        if work is not None and pull not in self._why:
            self._why[pull] = why
            work.cancel()

    def stop_all(self) -> None:
        """The router stops."""
        for pull in self.all():
            self.stop(pull, StreamBroken("the router is stopping"))

    def _begin(self, name: str, node_id: str, *, insecure: bool, most_bytes: int | None) -> Pull:
        if self._tasks is None:
            raise StreamBroken("the router is starting")
        self._placement.judge(name)
        place = self._placement.named(node_id, "pull") if node_id else self._placement.choose(name, "pull")
        node = self._registry.node(place.node_id)
        free = node.heartbeat.machine.disk_free_bytes if node is not None else None
        pull = Pull(
            place.node_id, place.engine, name, model_key(name), self._clock(), most_bytes=most_bytes,
            room_bytes=None if node_id or free is None else free - self._reserve_bytes,
        )  # fmt: skip
        work = self._tasks.create_task(self._run(pull, insecure), name=f"pull {name}")
        self._running[pull.node_id, pull.key] = pull
        self._work[pull] = work
        self._log.info("pull.started", node=pull.node_id, model=pull.name)
        # Not in the work itself: one that is stopped before its first step would never come to its end.
        work.add_done_callback(partial(self._end, pull, self._clock()))
        return pull

    async def _run(self, pull: Pull, insecure: bool) -> None:
        """Sets the error; a fault of ours is one too, and must not end the other pulls with this one."""
        try:
            success = await self._fetch(pull, insecure)
            await self._arrivals.learn(pull.node_id, pull.engine, pull.name)
            self._placement.arrived(pull.node_id, pull.name)
            self._tell(pull, success)  # not before: whoever hears it may ask for the model at once
        except HerdError as error:
            pull.error = error
        except Exception:
            self._log.exception("pull.crashed", node=pull.node_id, model=pull.name)
            pull.error = HerdError("internal error")

    async def _fetch(self, pull: Pull, insecure: bool) -> bytes:
        """Pull; the engine's last line, which tells of success."""
        asked = {"model": pull.name, "stream": True, **({"insecure": True} if insecure else {})}
        body = msgspec.json.encode(asked)
        async with self._nodes.stream(pull.node_id, pull.engine, "POST", "/api/pull", body) as answer:
            if answer.status >= 400:
                raise await refused(answer, pull.node_id)
            success = rest = b""
            async for piece in answer.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._hear(pull, line)
                    success = line + b"\n" if pull.succeeded else success
                if len(rest) > LINE_MOST:
                    raise EngineFailed(f"{pull.node_id} sent a line without end")
            self._hear(pull, rest)
        if not pull.succeeded:
            raise StreamBroken(f"{pull.node_id} ended the pull before it was complete")
        return success or rest + b"\n"

    def _hear(self, pull: Pull, line: bytes) -> None:
        if not line.strip():
            return
        line += b"\n"
        try:
            pull.hear(line, self._clock())
        finally:
            if not pull.succeeded:
                self._tell(pull, line)
        if pull.most_bytes is not None and pull.total > pull.most_bytes:
            raise NoRoom(f"{pull.name} is larger than the {pull.most_bytes / GIB:g} GB that a request may have pulled")
        if pull.room_bytes is not None and pull.missing > pull.room_bytes:
            free = max(0, pull.room_bytes) / GIB
            raise NoRoom(f"{pull.node_id} has no room for {pull.name}: {free:.1f} GB free on disk besides the reserve")

    def _tell(self, pull: Pull, line: bytes) -> None:
        for listener in self._listeners.get(pull, ()):
            listener.put(line)

    def _end(self, pull: Pull, began: float, work: asyncio.Task[None]) -> None:
        pull.ended = True
        del self._work[pull]
        why = self._why.pop(pull, None)
        if work.cancelled():
            pull.error = why or StreamBroken("the router is stopping")
        if self._running.get((pull.node_id, pull.key)) is pull:
            del self._running[pull.node_id, pull.key]
        if pull.error is not None and pull.completed:
            self._placement.broke_off(pull.node_id, pull.name)
        write = self._log.info if pull.error is None else self._log.warning
        write(
            "pull.finished",
            node=pull.node_id,
            model=pull.name,
            size_bytes=pull.total,
            took_s=round(self._clock() - began, 3),
            error=pull.error.message if pull.error is not None else None,
        )
        for listener in self._listeners.pop(pull, ()):
            listener.wake()
        for call in pull.on_end:
            call()

    def _sweep(self) -> None:
        now = self._clock()
        for pull in self.all():
            node = self._registry.node(pull.node_id)
            if node is None or node.status == "offline":
                self.stop(pull, StreamBroken(f"{pull.node_id} has left the fleet"))
            elif now - pull.heard_at > SILENT_S:
                self.stop(pull, StreamBroken(f"{pull.node_id} has said nothing of the pull for {SILENT_S:.0f} s"))


async def refused(answer: Answer, node_id: str) -> HerdError:
    """What an error status of an engine means to whoever asked for a change of its models."""
    body = await answer.whole()
    words = error_words(body) or f"{node_id} answered {answer.status}"
    if answer.status >= 500:
        return PullFailed(words)
    return EngineRejected(answer.status, words)


def error_words(body: bytes) -> str:
    """The engine's own message; empty if the body holds none."""
    try:
        said = msgspec.json.decode(body, type=dict[str, object]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else " " for c in str(said or ""))[:500]
