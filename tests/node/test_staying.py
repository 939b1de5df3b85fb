"""A node through what happens to a machine: sleep, another address, a clock that is set, a router that is away."""

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest
from fakes.fake_router import FakeRouter
from fakes.scripted import hang
from running_node import running_node
from structlog.testing import capture_logs

from node import discovery, waking
from node.discovery import Discovery
from node.pulse import retry_pause
from node.waking import awake_clock, watch


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "EVERY_S", 0.01)


@pytest.mark.usefixtures("quick")
async def test_sleep_is_noticed_by_a_clock_that_goes_on_and_an_address_by_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, addresses = itertools.chain([0.0, 0.01, 0.02, 3600.0], itertools.count(3600.0, 0.01)), ["10.0.0.2"]
    slept: list[float] = []
    moved: list[list[str]] = []
    monkeypatch.setattr(waking, "awake_clock", lambda: next(clock))
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(addresses=lambda: list(addresses), woke=slept.append, moved=moved.append))
        await until(lambda: bool(slept))
        addresses[:] = ["10.0.0.3"]
        await until(lambda: bool(moved))
        watching.cancel()
    assert [round(seconds) for seconds in slept] == [3600]
    assert moved == [["10.0.0.3"]]


def test_the_clock_that_goes_on_in_sleep_is_set_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    before = awake_clock()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= awake_clock() - before < 60
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        monkeypatch.delattr(time, name, raising=False)
    assert awake_clock() == pytest.approx(time.monotonic(), abs=60)


@pytest.mark.usefixtures("quick")
async def test_a_node_that_wakes_reports_at_once_and_looks_for_its_router(monkeypatch: pytest.MonkeyPatch) -> None:
    offset = [0.0]
    monkeypatch.setattr(waking, "awake_clock", lambda: time.monotonic() + offset[0])
    async with FakeRouter() as router, running_node(router_url=router.url):
        router.ack["interval_s"] = 60.0
        await router.heard(2)
        asked = len(router.requests)
        offset[0] = 7200.0
        await router.heard(3)
        assert router.requests[asked].path == "/healthz"


@pytest.mark.usefixtures("quick")
async def test_a_node_that_has_another_address_reports_at_once() -> None:
    here = ["10.0.0.2"]
    async with FakeRouter() as router, running_node(router_url=router.url, addresses=lambda: list(here)):
        router.ack["interval_s"] = 60.0
        await router.heard(2)
        here[:] = ["10.0.0.9"]
        await router.heard(3)


async def test_a_wall_clock_that_is_set_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeRouter() as router, running_node(router_url=router.url):
        await router.heard(2)
        wall = time.time
        with capture_logs() as logs:
            for jump_s in (-86400.0, 86400.0):
                monkeypatch.setattr(time, "time", lambda jump_s=jump_s: wall() + jump_s)
                beat = await router.heard(len(router.beats) + 3)
                assert abs(beat["sent_at"] - wall() - jump_s) < 60
                assert beat["failures"].get("count", 0) == 0
        assert not [line for line in logs if line["log_level"] in ("warning", "error")]


async def test_a_router_that_takes_no_heartbeat_is_asked_who_it_is_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.link.TIMEOUT_S", 0.2)
    async with FakeRouter() as router, running_node(router_url=router.url):
        await router.heard(2)
        router.script("/heartbeat", hang())
        asked = len(router.requests)
        await until(lambda: any(request.path == "/healthz" for request in router.requests[asked:]))
        await until(lambda: any(beat["failures"]["last"] == "no answer within 0.2 s" for beat in router.beats))


async def test_a_router_that_is_gone_is_lost_once_and_found_when_it_is_back() -> None:
    async with FakeRouter() as router:
        with capture_logs() as logs:
            async with running_node(router_url=router.url):
                await router.heard(2)
                await router.refuse()
                await until(lambda: any(line["event"] == "router.lost" for line in logs))
                await asyncio.sleep(0)
                await router.accept()
                await router.heard(len(router.beats) + 1)
        assert [line["event"] for line in logs].count("router.lost") == 1


@pytest.mark.parametrize(("silences", "most"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (99, 10)])
def test_a_node_tries_again_ever_later_never_in_step_with_others_and_at_least_each_ten_seconds(
    silences: int, most: float
) -> None:
    assert retry_pause(silences, 0.0) == most / 2
    assert retry_pause(silences, 0.999) == pytest.approx(most, rel=0.01)


async def test_looking_for_routers_begins_anew_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    class Nothing:
        def __init__(self, **_: object) -> None:
            begun.append(1)
            raise OSError("no multicast here")

    monkeypatch.setattr(discovery, "AsyncZeroconf", Nothing)
    looking = Discovery(router_url="", mdns=True, service_type="_x._tcp.local.", changed=lambda: None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(looking.run())
        for count in (1, 2, 3):
            await until(lambda count=count: len(begun) == count)  # type: ignore[misc]
            looking.renew()
        running.cancel()
