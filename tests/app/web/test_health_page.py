"""Health over a real router and its history: the page and its JSON, and that looking is no burden."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import engine, machine, model
from shown_fleet import MARKUP
from traces import trace
from web_house import House, web_house

from app.fleet.registry import Registry
from app.fleet.snapshot import FleetSnapshot
from app.insight.health import CHECKS
from app.store.database import migrate
from app.store.records import TraceRecord
from app.store.store import Store
from app.store.usage import HOUR_S
from app.store.writer import TraceWriter
from app.web.checkup import PAST_S, PRESENT_S, WATCHED_S, Checkup
from app.web.health import BADGES, headline
from node.version import own_version
from node.wire import Heartbeat

CALM = {"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}


def history(now: float) -> Iterator[TraceRecord]:
    """A node that fails a third of its requests, with markup for a name of its model."""
    for number in range(30):
        failed = number % 3 == 0
        yield trace(
            number, timestamp=now - number, node_id="mac", model=MARKUP, modality="llm",
            status="failed" if failed else "completed", time_to_first_token_ms=None if failed else 500.0,
            prompt_tokens=100, completion_tokens=20,
        )  # fmt: skip
    yield trace(99, timestamp=now - 40 * 3600, node_id="mac", status="failed")


def beat(node_id: str = "mac", **more: Any) -> Heartbeat:
    held = model(MARKUP, gb=1, loaded=True, context_length=32768)
    facts: dict[str, Any] = {"machine": machine(64, 30), "engines": (engine(held),), "version": own_version()}
    return Heartbeat(node_id=node_id, **{**facts, **more})


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(history(time.time()), heartbeat=CALM) as house:
        house.do(lambda router: router.beat(beat()))
        yield house


def told(house: House) -> dict[str, Any]:
    return dict(house.get("/dashboard/api/health").json())


def until_found(house: House, check_id: str, *, there: bool) -> dict[str, Any]:
    """The report once it has the finding, or no longer."""
    deadline = time.monotonic() + 30
    while True:
        report = told(house)
        if any(row["check_id"] == check_id for row in report["recommendations"]) == there:
            return report
        assert time.monotonic() < deadline, report
        time.sleep(0.1)


def test_the_json_has_the_public_names(house: House) -> None:
    report = until_found(house, "high_error_rate", there=True)
    assert set(report) == {"vitals", "recommendations", "checked_at"}
    assert set(report["vitals"]) == {
        "nodes_total", "nodes_online", "nodes_degraded", "nodes_offline", "overall_error_rate_pct", "cold_loads_24h",
        "avg_ttft_ms", "total_requests_24h", "total_retries_24h", "client_disconnects_24h", "incomplete_streams_24h",
        "image_generations_24h", "transcriptions_24h", "health_score",
    }  # fmt: skip
    vitals = report["vitals"]
    assert (vitals["total_requests_24h"], vitals["overall_error_rate_pct"], vitals["avg_ttft_ms"]) == (30, 33.3, 500.0)
    [row] = [row for row in report["recommendations"] if row["check_id"] == "high_error_rate"]
    assert set(row) == {"check_id", "severity", "title", "description", "fix", "node_id", "data"}
    assert (row["severity"], row["node_id"]) == ("warning", "mac")
    assert row["data"] == {"error_rate_pct": 33.3, "failed": 10, "total": 30, "recent_error_rate_pct": 33.3}
    assert vitals["health_score"] <= 90


def test_a_node_that_leaves_is_a_finding_until_it_returns(house: House) -> None:
    house.do(lambda router: router.beat(beat(goodbye=True)))
    report = until_found(house, "node_offline", there=True)
    assert report["recommendations"][0]["check_id"] == "node_offline"
    assert (report["vitals"]["nodes_offline"], report["vitals"]["nodes_online"]) == (1, 0)
    house.do(lambda router: router.beat(beat()))
    assert until_found(house, "node_offline", there=False)["vitals"]["nodes_online"] == 1


def test_what_a_week_took_is_weighed_behind_the_readers_back(house: House) -> None:
    report = until_found(house, "context_waste", there=True)
    [row] = [row for row in report["recommendations"] if row["check_id"] == "context_waste"]
    assert row["data"]["wasteful_models"][0]["recommended"] == 4096


def test_heartbeats_that_failed_and_a_wrong_clock_are_seen(house: House) -> None:
    late = beat(sent_at=time.time() - 500, failures={"count": 3, "last": "refused"})
    house.do(lambda router: router.beat(late))
    until_found(house, "connection_failures", there=True)
    until_found(house, "clock_skew", there=True)
    house.do(lambda router: router.beat(beat(sent_at=time.time())))
    until_found(house, "clock_skew", there=False)


def test_the_page_shows_each_finding_with_its_fix_its_node_and_its_requests(house: House) -> None:
    until_found(house, "high_error_rate", there=True)
    page = house.get("/dashboard/health").text
    assert "Many requests fail on mac" in page
    assert re.search(r'href="/dashboard#node-[\w-]+">mac</a>', page)
    link = re.search(r'href="(/dashboard/requests\?range=24h&amp;status=failed&amp;node_id=mac)"', page)
    assert link is not None
    assert house.get(link[1].replace("&amp;", "&")).text.count('class="request') >= 10
    node = re.search(r"/dashboard#(node-[\w-]+)", page)
    assert node is not None
    assert f'id="{node[1]}"' in house.get("/dashboard").text


def test_names_in_findings_are_text(house: House) -> None:
    until_found(house, "context_waste", there=True)
    page = house.get("/dashboard/health").text
    assert MARKUP not in page
    assert "&lt;img src=x" in page


def test_an_empty_fleet_is_all_clear() -> None:
    with web_house() as empty:
        page = empty.get("/dashboard/health").text
        assert "All clear" in page
        assert "Score 100 of 100" in page
        assert told(empty)["recommendations"] == []


def test_every_severity_has_its_badge() -> None:
    assert {check.worst for check in CHECKS} <= BADGES.keys()


class Watched:
    """A checkup over a real history, on a clock that a test moves. ``shots`` counts the looks at the fleet."""

    def __init__(self, store: Store) -> None:
        self.now = 1000.0
        self.shots = 0
        self.failures: list[float] = []
        self.checkup = Checkup(
            store=store, take_snapshot=self._take, registry=Registry(timeout_s=15, offline_s=30), overrides=dict,
            version="1", write_failures=self.failures, interval_s=5.0, disk_reserve_bytes=0, clock=lambda: self.now,
            wall=lambda: self.now,
        )  # fmt: skip

    def _take(self) -> FleetSnapshot:
        self.shots += 1
        return FleetSnapshot(taken_at=self.now)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    migrate(tmp_path)
    store = await Store.open(tmp_path)
    yield Watched(store)
    await store.aclose()


async def requests(watched: Watched) -> int:
    return int((await watched.checkup.look()).vitals["total_requests_24h"])


async def test_many_readers_cost_one_look(watched: Watched) -> None:
    for _ in range(50):
        await watched.checkup.look()
    assert watched.shots == 1
    watched.now += PRESENT_S + 0.1
    await watched.checkup.look()
    assert watched.shots == 2


async def test_sums_are_renewed_by_the_loop_while_somebody_reads_and_no_reader_waits(watched: Watched) -> None:
    store = watched.checkup._store
    assert await requests(watched) == 0
    writer = TraceWriter(store)
    writer.put(trace(1, timestamp=watched.now))
    await writer.flush()
    watched.now += PAST_S + 1
    assert await requests(watched) == 0
    await watched.checkup.renew()
    watched.now += PRESENT_S + 1
    assert await requests(watched) == 1


async def test_when_nobody_reads_nothing_is_asked_and_the_next_reader_gets_the_truth(watched: Watched) -> None:
    await watched.checkup.look()
    watched.now += WATCHED_S + 1
    writer = TraceWriter(watched.checkup._store)
    writer.put(trace(1, timestamp=watched.now))
    await writer.flush()
    await watched.checkup.renew()
    assert watched.checkup._facts.whole.day.requests == 0
    assert await requests(watched) == 1


async def test_hours_that_are_over_are_added_up_once_and_leave_after_a_day(watched: Watched) -> None:
    store, noon = watched.checkup._store, 100 * HOUR_S
    watched.now = noon
    writer = TraceWriter(store)
    for hours in (0, 1, 2, 23, 24):
        writer.put(trace(hours, timestamp=noon - hours * HOUR_S))
    await writer.flush()
    assert await requests(watched) == 4
    day = watched.checkup._facts.whole
    assert (day.day.requests, day.hour.requests) == (4, 2)
    before = watched.checkup._before
    watched.now += 2 * PAST_S + 1
    assert await requests(watched) == 4
    assert watched.checkup._before is before
    watched.now += HOUR_S
    assert await requests(watched) == 3


async def test_writes_that_failed_a_while_ago_are_forgotten(watched: Watched) -> None:
    watched.failures.append(watched.now)
    report = await watched.checkup.look()
    assert [found.check_id for found in report.findings] == ["trace_store_write_failures"]
    assert headline(report) == "1 warning"
    watched.now += 301
    assert headline(await watched.checkup.look()) == "All clear"
