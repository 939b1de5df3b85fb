"""The fleet at one moment, in plain structs: what status endpoints and pages show. Knows no HTTP and no template.

Taken by ``Viewer.take``, and shared by all who show it.
"""

from collections.abc import Mapping

import msgspec

from app.scoring.types import Status
from node.wire import Capacity, EngineReport, Machine, Traffic


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node. ``address`` is its peer address; ``seen_s_ago`` the age of its last heartbeat.

    ``link_failures`` are the heartbeats that failed before the last one arrived, ``links_lost`` all since the router
    knows the node, the last of them told ``link_lost_s_ago``. ``clock_ahead_s`` is its clock over the router's.

    ``resting`` names the engines that failed again and again and are left alone for a moment.

    ``waiting_approval`` nodes get no requests; their other fields may be empty.
    """

    node_id: str
    status: Status
    address: str = ""
    version: str = ""
    draining: bool = False
    waiting_approval: bool = False
    seen_s_ago: float = 0.0
    machine: Machine = Machine()
    engines: tuple[EngineReport, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    capacity: Capacity | None = None
    running: int = 0
    waiting: int = 0
    link_failures: int = 0
    links_lost: int = 0
    link_lost_s_ago: float | None = None
    clock_ahead_s: float | None = None
    resting: tuple[str, ...] = ()


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """The line before one (node, model): leases running, tickets planned onto it, and what became of those before.

    ``pace_s`` is the p75 of its jobs, guessed from the model's size while there is no history; ``estimated_wait_s`` is
    what a new request would wait: ceil(position / slots) x pace. Lines of one node with the same ``lane`` share their
    slots, so that one waits for all who are before it in any of them.
    """

    node_id: str
    model: str
    modality: str = ""
    running: int = 0
    waiting: int = 0
    slots: int = 1
    lane: str = ""
    completed: int = 0
    failed: int = 0
    p75_s: float | None = None
    pace_s: float = 1.0
    estimated_wait_s: float | None = None


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """One waiting ticket, in order of arrival; ``position`` is its place in its line.

    ``why`` is "busy" (planned onto ``node_id``), "pulling" (its model is being brought there, ``progress`` is 0 to 1)
    or "held" (nobody may take it).
    """

    request_id: str
    model: str
    position: int
    waited_s: float
    why: str
    node_id: str = ""
    estimated_wait_s: float | None = None
    progress: float | None = None


class PullView(msgspec.Struct, frozen=True, kw_only=True):
    """A model on its way to a node. ``total_bytes`` is what its engine has told of so far."""

    node_id: str
    model: str
    status: str
    completed_bytes: int
    total_bytes: int
    wanted: int


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What health says of a modality by itself: ids of its checks, each empty where it has none.

    ``done`` tells of what it made (its number stands under ``vital``), ``spread`` names nodes that could do the same:
    those with ``room_bytes`` of memory to spare; ``install`` is what to do there, by operating system ("": any other).
    ``broken`` is about failures.
    """

    vital: str = ""
    done: str = ""
    spread: str = ""
    room_bytes: int = 0
    install: Mapping[str, str] = {}
    broken: str = ""


class ModalityView(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of work as people meet it: ``word`` in status answers, ``icon`` on pages; engines do its ``operation``."""

    name: str
    title: str
    word: str
    icon: str
    operation: str
    activity: Activity = Activity()


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once. ``taken_at`` is Unix epoch seconds, for showing only."""

    taken_at: float
    nodes: tuple[NodeView, ...] = ()
    lines: tuple[LineView, ...] = ()
    waiting: tuple[WaitingView, ...] = ()
    modalities: tuple[ModalityView, ...] = ()
    pulls: tuple[PullView, ...] = ()
    completed: int = 0
    failed: int = 0
    retried: int = 0
    rebalanced: int = 0
    reaped: int = 0
    prewarmed: int = 0
    traces_dropped: int = 0

    @property
    def running(self) -> int:
        return sum(line.running for line in self.lines)
