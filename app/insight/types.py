"""The words of health: facts that a check may read, the check, the finding it makes. Pure; knows no check.

All times are told in the facts. GB are 1024^3 bytes, as everywhere in the settings.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from app.fleet.snapshot import FleetSnapshot, NodeView
from app.fleet.usage import ContextUse
from app.store.records import Pace, Troubled
from app.store.usage import Use, added

Severity = Literal["critical", "warning", "info"]
Cost = Literal["present", "sums", "traces"]
"""What a check's facts cost: the picture of the fleet, sums by the hour, or a look at traces themselves."""
ROWS_LEAST = 21
"""Requests below which no share of them says anything: one failure of one is no rate."""
GB = 1024**3


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that somebody should read. ``fix`` is what to do, as commands where there are any.

    ``resolved``: it was so in the last 24 hours and has not been for the last hour. ``query`` finds the requests
    behind it.
    """

    check_id: str = ""
    severity: Severity
    title: str
    description: str
    fix: str
    node_id: str | None = None
    data: Mapping[str, Any] = {}
    resolved: bool = False
    query: str = ""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in the last 24 hours and in the last one; both begin with a whole hour."""

    day: Use = Use()
    hour: Use = Use()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a check may read. ``version`` is the router's, ``interval_s`` that of heartbeats.

    ``substituted`` are models that were asked for and answered by another of the router's choice, with their number.
    ``contexts`` is what requests of a week took, ``overrides`` the context that settings say for a model.
    ``stuck`` are requests of 24 hours without progress, ``slow`` their slow failures, ``paces`` pairs of the last
    hour's and the one of the day before, ``write_failures`` those of the last five minutes.
    """

    snapshot: FleetSnapshot
    version: str
    interval_s: float = 5.0
    disk_reserve_bytes: int = 0
    by_node: Mapping[str, Span] = {}
    by_model: Mapping[str, Span] = {}
    by_modality: Mapping[str, Span] = {}
    slow: tuple[Troubled, ...] = ()
    stuck: tuple[Troubled, ...] = ()
    paces: tuple[tuple[Pace, Pace], ...] = ()
    substituted: Mapping[str, int] = {}
    contexts: tuple[ContextUse, ...] = ()
    overrides: Mapping[str, int] = {}
    write_failures: int = 0

    @property
    def nodes(self) -> tuple[NodeView, ...]:
        """Those that were let in, in the order of their names."""
        admitted = (node for node in self.snapshot.nodes if not node.waiting_approval)
        return tuple(sorted(admitted, key=lambda node: node.node_id))

    @property
    def here(self) -> tuple[NodeView, ...]:
        """Those that are not offline."""
        return tuple(node for node in self.nodes if node.status != "offline")

    @property
    def whole(self) -> Span:
        """The fleet's."""
        return Span(
            day=added(span.day for span in self.by_modality.values()),
            hour=added(span.hour for span in self.by_modality.values()),
        )


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question about the fleet. ``worst`` is the gravest answer it may give, ``docs`` when it gives any."""

    id: str
    worst: Severity
    cost: Cost
    docs: str
    look: Callable[[Facts], Iterable[Finding]]


def gb(count: float) -> float:
    """Bytes as GB with one digit."""
    return round(count / GB, 1)


def per_cent(part: float, whole: float) -> float:
    """With one digit; nought of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def often(number: int, one: str, many: str = "") -> str:
    """``1 request``, ``3 requests``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """``a, b and 3 more``."""
    words = list(dict.fromkeys(names))
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
