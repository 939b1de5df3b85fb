"""Checks of nodes and of their way to the router. Pure; knows no history."""

from collections.abc import Iterator
from shlex import quote

from app.insight import fixes
from app.insight.types import Check, Facts, Finding, listed, often

FAILING_S = 300.0
"""Seconds after a failed heartbeat for which the way to the router counts as bad."""
REMEMBERED_S = 86400.0
FAILURES_GRAVE = 10
SKEW_S = 30.0


def offline(facts: Facts) -> Iterator[Finding]:
    for node in facts.nodes:
        if node.status == "offline":
            ago = round(node.seen_s_ago)
            yield Finding(
                severity="critical", node_id=node.node_id, title=f"{node.node_id} is offline",
                description=f"Its last heartbeat came {_lasted(ago)} ago. Nothing is sent to it.",
                fix=f"{fixes.node_start(node.machine.os)}\nherd forget {quote(node.node_id)}  # if it will not "
                "come back",
                data={"last_heartbeat_ago_s": ago},
            )  # fmt: skip


def degraded(facts: Facts) -> Iterator[Finding]:
    for node in facts.nodes:
        if node.status == "degraded":
            missed = max(1, int(node.seen_s_ago / facts.interval_s))
            yield Finding(
                severity="warning", node_id=node.node_id, title=f"{node.node_id} misses heartbeats",
                description=f"{often(missed, 'heartbeat')} did not come. It is still served, and offline before long.",
                fix=f"ping {node.address or node.node_id}\n{fixes.node_start(node.machine.os)}",
                data={"missed_heartbeats": missed},
            )  # fmt: skip


def version_mismatch(facts: Facts) -> Iterator[Finding]:
    strange = [node for node in facts.here if node.version and node.version != facts.version]
    if strange:
        names = [f"{node.node_id} ({node.version})" for node in strange]
        yield Finding(
            severity="warning", title="Nodes run another version of Herd",
            description=f"The router is {facts.version}, unlike {listed(names)}. What is newer is missing on one side.",
            fix="uv tool upgrade herd-router  # on each of them\nherd node",
            node_id=strange[0].node_id if len(strange) == 1 else None,
            data={
                "router_version": facts.version,
                "mismatched_nodes": [{"node_id": node.node_id, "version": node.version} for node in strange],
            },
        )  # fmt: skip


def version_unknown(facts: Facts) -> Iterator[Finding]:
    silent = [node.node_id for node in facts.here if not node.version]
    if silent:
        yield Finding(
            severity="info", title="Nodes of an unknown version",
            description=f"No version of Herd is told by {listed(silent)}.",
            fix="uv tool upgrade herd-router  # on each of them\nherd node",
            node_id=silent[0] if len(silent) == 1 else None,
            data={"unknown_nodes": silent},
        )  # fmt: skip


def connection_failures(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        ago = node.link_lost_s_ago
        if not node.links_lost or ago is None or ago > REMEMBERED_S:
            continue
        failing = ago <= FAILING_S
        grave = failing and max(node.link_failures, 0) > FAILURES_GRAVE
        yield Finding(
            severity="critical" if grave else "warning" if failing else "info", resolved=not failing,
            node_id=node.node_id, title=f"{node.node_id} loses its way to the router",
            description=f"{often(node.links_lost, 'heartbeat')} could not be delivered, the last one "
            f"{_lasted(round(ago))} ago.",
            fix=f"ping {node.address or node.node_id}\nherd node --join ROUTER:11435  # there, where mDNS does not "
            "work",
            data={"failures": node.links_lost, "last_failure_ago_s": round(ago)},
        )  # fmt: skip


def clock_skew(facts: Facts) -> Iterator[Finding]:
    for node in facts.here:
        ahead = node.clock_ahead_s
        if ahead is not None and abs(ahead) > SKEW_S:
            way = "ahead of" if ahead > 0 else "behind"
            yield Finding(
                severity="warning", node_id=node.node_id, title=f"The clock of {node.node_id} is wrong",
                description=f"It is {_lasted(round(abs(ahead)))} {way} the router's: its log and the week it learns "
                "do not fit.",
                fix=fixes.clock_set(node.machine.os), data={"ahead_s": round(ahead, 1)},
            )  # fmt: skip


def _lasted(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


CHECKS = (
    Check(id="node_offline", worst="critical", cost="present", docs="A node is offline.", look=offline),
    Check(id="node_degraded", worst="warning", cost="present", docs="A node misses heartbeats.", look=degraded),
    Check(
        id="version_mismatch", worst="warning", cost="present",
        docs="A node that is not offline runs another version than the router.", look=version_mismatch,
    ),
    Check(
        id="version_unknown", worst="info", cost="present", docs="A node does not say its version.",
        look=version_unknown,
    ),
    Check(
        id="connection_failures", worst="critical", cost="present",
        docs="Heartbeats of a node failed in the last five minutes; critical if more than ten in a row.",
        look=connection_failures,
    ),
    Check(
        id="clock_skew", worst="warning", cost="present",
        docs="A node's clock is more than 30 seconds off the router's.", look=clock_skew,
    ),
)  # fmt: skip
