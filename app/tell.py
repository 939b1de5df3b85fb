"""The router's answers as text for a terminal. Pure; knows no HTTP.

Names come from other machines, so each is cleaned of what could steer a terminal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from node.log import clean

Answer = Mapping[str, Any]


def status_text(answer: Answer) -> str:
    """``GET /fleet/status`` as a table of nodes."""
    fleet = answer["fleet"]
    head = (
        f"{fleet['nodes_online']} of {fleet['nodes_total']} nodes online, "
        f"{fleet['models_loaded']} models loaded, {fleet['requests_active']} requests running"
    )
    rows = [_node_row(node) for node in answer["nodes"]]
    waiting = [str(node["node_id"]) for node in answer["nodes"] if node["status"] == "waiting"]
    text = head + ("\n" + _table(rows) if rows else "")
    if waiting:
        text += "\n\nwaiting to be let in: " + ", ".join(f"herd approve {clean(name)}" for name in waiting)
    return text


def explain_text(answer: Answer) -> str:
    """``GET /fleet/explain``: who would serve, with each signal's points, and who was refused, with the reason."""
    scored: Sequence[Answer] = answer["scored"]
    refused: Sequence[Answer] = answer["refused"]
    if answer["verdict"] == "absent":
        return f"no node has {clean(str(answer['model']))}"
    lines = [f"{clean(str(answer['policy']))} policy: {len(scored)} scored, {len(refused)} refused"]
    rows = [[clean(str(one["node_id"])), f"{one['total']:.1f}", _points(one["points"])] for one in scored]
    if rows:
        lines.append(_table(rows))
    width = max((len(row[0]) for row in rows), default=0)
    lines += [
        f"  {clean(str(one['node_id'])):<{width}}   refused by {clean(str(one['filter']))}: {clean(str(one['reason']))}"
        for one in refused
    ]
    if answer["verdict"] == "held":
        lines.append("nobody may serve it now: a request would be held")
    elif answer["verdict"] == "refused":
        lines.append("nobody can ever serve it: a request would be refused")
    elif answer["how"] != "asked":
        served = clean(str(scored[0]["model"])) if scored else "another model"
        lines.append(f"served by {served} ({answer['how']})")
    return "\n".join(lines)


def _node_row(node: Answer) -> list[str]:
    memory, ollama = node["memory"], node["ollama"]
    return [
        clean(str(node["node_id"])),
        clean(_state(node)),
        f"{memory['available_gb']:.1f} of {memory['total_gb']:.1f} GB free",
        f"{ollama['requests_active']} running",
        " ".join(clean(str(model["name"])) for model in ollama["models_loaded"]) or "nothing loaded",
    ]


def _state(node: Answer) -> str:
    capacity = node.get("capacity") or {}
    paused = capacity.get("mode") == "paused" and node["status"] in ("online", "degraded")
    return f"{node['status']}, paused: {capacity.get('reason', '')}" if paused else str(node["status"])


def _points(points: Mapping[str, float]) -> str:
    """Only what counted: a signal without an opinion is left out."""
    return "  ".join(f"{clean(name)} {value:+.4g}" for name, value in points.items() if value) or "no signal spoke"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
