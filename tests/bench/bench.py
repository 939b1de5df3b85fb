"""``make bench``: Herd beside nginx and the bare engine, under the same loads, in one interleaved run. Prints ratios.

Every scenario is run once for each target in turn, the order rotated from round to round. A ratio is the median over
the rounds of (target / nginx) within one round: what else the machine does meets all alike. See docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import uvloop
from bench.load import Load, drive, leave
from bench.targets import Target, busy_s, running, told

SCENARIOS: dict[str, tuple[str, bool, int]] = {
    "unary-1": ("mock:t32", False, 1),
    "unary-16": ("mock:t32", False, 16),
    "unary-64": ("mock:t32", False, 64),
    "stream-1": ("mock:t64", True, 1),
    "stream-16": ("mock:t64", True, 16),
    "stream-64": ("mock:t64", True, 64),
    "firehose-1": ("mock:t20000", True, 1),
    "firehose-64": ("mock:t1000", True, 64),
    "paced-64": ("mock:t50d20000", True, 64),
    "cancel-8": ("mock:t500d20000", True, 8),
}
"""Name: what the engine answers, streamed or not, connections."""
SUITES = {"quick": ("unary-16", "stream-64", "firehose-1"), "standard": tuple(SCENARIOS)}
WANTED = {"unary-16": 0.1, "stream-64": 0.5, "firehose-1": 0.8}
"""What Herd must reach of nginx's figure, in the scenario's own measure."""
WARM_S = 0.5


@dataclass
class Row:
    """One run of one scenario against one target. ``figure`` is requests/s, tokens/s or 1 / seconds (cancel)."""

    target: str
    figure: float
    p50_ms: float
    p99_ms: float
    first_ms: float
    cpu_us: float
    """CPU of the target's processes: microseconds a request, of streams a token."""
    errors: int
    foreign: float
    """Cores that other programs took meanwhile."""
    wrong: str = ""


def unit(scenario: str) -> str:
    return (
        "1/s until rid of all" if scenario.startswith("cancel") else "tokens/s" if SCENARIOS[scenario][1] else "req/s"
    )


def measure(scenario: str, target: Target, engine: Target, seconds: float) -> Row:
    """One run, with what it cost."""
    model, stream, connections = SCENARIOS[scenario]
    load = Load(model, stream, connections, seconds)
    own = os.times()
    before = target.cpu_s(), engine.cpu_s(), busy_s(), own.user + own.system, time.perf_counter()
    if scenario.startswith("cancel"):
        url = f"http://127.0.0.1:{engine.port}/stats"
        took = uvloop.run(leave(target.port, load, lambda: asyncio.to_thread(lambda: told(url)["aborted"])))
        return Row(target.name, 1 / took, took * 1e3, took * 1e3, 0.0, 0.0, 0, 0.0)
    result = uvloop.run(drive(target.port, load))
    own = os.times()
    after = target.cpu_s(), engine.cpu_s(), busy_s(), own.user + own.system, time.perf_counter()
    spent = [b - a for a, b in zip(before, after, strict=True)]
    ours = spent[0] + spent[3] + (spent[1] if target is not engine else 0.0)
    work = (result.tokens if stream else result.answers) or 1
    return Row(
        target.name,
        (result.tokens if stream else result.answers) / result.seconds,
        quantile(result.latency_s, 0.5) * 1e3,
        quantile(result.latency_s, 0.99) * 1e3,
        quantile(result.first_s, 0.5) * 1e3,
        spent[0] / work * 1e6,
        result.errors,
        max(0.0, spent[2] - ours) / spent[4],
        result.wrong,
    )


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int((len(values) - 1) * share)] if values else 0.0


def ratio(rows: list[Row], base: list[Row], pick: Callable[[Row], float]) -> float | None:
    """The median over the rounds of (target / base)."""
    pairs = [pick(row) / pick(other) for row, other in zip(rows, base, strict=True) if pick(other)]
    return statistics.median(pairs) if pairs else None


def median(rows: list[Row], pick: Callable[[Row], float]) -> float:
    return statistics.median(pick(row) for row in rows)


def table(scenario: str, rounds: dict[str, list[Row]], base: str) -> list[str]:
    """The scenario's figures, one target a line."""
    per = "CPU us/token" if SCENARIOS[scenario][1] else "CPU us/req"
    heads = [
        "target",
        unit(scenario),
        f"x {base}",
        "p50 ms",
        "p99 ms",
        "first ms",
        per,
        f"x {base}",
        "foreign",
        "errors",
    ]
    lines = [f"\n{scenario}", "".join(head.rjust(13) for head in heads)]
    for name, rows in rounds.items():
        figures = [
            f"{median(rows, lambda row: row.figure):,.0f}",
            shown(ratio(rows, rounds[base], lambda row: row.figure)),
            f"{median(rows, lambda row: row.p50_ms):.2f}",
            f"{median(rows, lambda row: row.p99_ms):.2f}",
            f"{median(rows, lambda row: row.first_ms):.2f}",
            f"{median(rows, lambda row: row.cpu_us):.1f}",
            shown(ratio(rows, rounds[base], lambda row: row.cpu_us)),
            f"{median(rows, lambda row: row.foreign):.2f}",
            str(sum(row.errors for row in rows)),
        ]
        lines.append("".join(figure.rjust(13) for figure in [name, *figures]))
    return lines


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def verdicts(scenario: str, rounds: dict[str, list[Row]]) -> list[str]:
    """Whether Herd reaches what it must, and what went wrong."""
    lines = [f"  {name}: {row.wrong}" for name, rows in rounds.items() for row in rows if row.wrong][:3]
    if scenario in WANTED and "nginx" in rounds:
        reached = ratio(rounds["herd"], rounds["nginx"], lambda row: row.figure) or 0.0
        word = "reached" if reached >= WANTED[scenario] else "MISSED"
        lines.append(f"  {word}: {reached:.2f} of nginx's {unit(scenario)}, {WANTED[scenario]} wanted")
    return lines


def play(targets: list[Target], scenarios: list[str], rounds: int, seconds: float) -> dict[str, dict[str, list[Row]]]:
    """All rounds of all scenarios; each scenario's table is printed as soon as it is complete."""
    played: dict[str, dict[str, list[Row]]] = {}
    base = "nginx" if len(targets) == 3 else "direct"
    for scenario in scenarios:
        rows: dict[str, list[Row]] = {target.name: [] for target in targets}
        for number in range(rounds):
            turn = number % len(targets)
            for target in targets[turn:] + targets[:turn]:
                if number == 0 and not scenario.startswith("cancel"):
                    measure(scenario, target, targets[0], WARM_S)
                rows[target.name].append(measure(scenario, target, targets[0], seconds))
        played[scenario] = rows
        print("\n".join(table(scenario, rows, base) + verdicts(scenario, rows)), flush=True)
    return played


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="quick", help=f"{', '.join(SUITES)}, or scenarios: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each run asks anew")
    parser.add_argument("--json", type=Path, help="write every run's figures here")
    asked = parser.parse_args()
    scenarios = list(SUITES.get(asked.suite, asked.suite.split(",")))
    if unknown := set(scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    models = sorted({SCENARIOS[name][0] for name in scenarios})
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), models) as targets:
        if len(targets) < 3:
            print("nginx is not on the PATH: compared with the bare engine only")
        load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores{load}; {asked.rounds} rounds")
        played: dict[str, Any] = play(targets, scenarios, asked.rounds, asked.seconds)
    if asked.json:
        asked.json.write_text(json.dumps(played, default=vars, indent=1))


if __name__ == "__main__":
    main()
