"""What an owner does with his machine, and what becomes of the fleet's work: real nodes, a real router, sockets."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.fake_ollama import FakeOllama
from fakes.fake_router import FakeRouter
from fakes.scripted import streaming
from running import RunningRouter, running_router
from running_node import RunningNode, running_node

from node import cli
from node.capacity import owner
from node.machine import activity
from node.machine.activity import ActivityWatch

MODEL = "smollm2:135m"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = b'{"model":"smollm2:135m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'
HOLDS = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
LOOKS = """
import json, sys
from pathlib import Path
from node.machine.activity_linux import camera_open
for _ in sys.stdin:
    camera = camera_open(Path("/proc"), Path(sys.argv[1]))
    print(json.dumps({"camera": camera, "microphone": False, "why": ""}), flush=True)
"""
"""The real look at cameras, in a real child, at a folder of our own instead of /dev."""


async def nodes(router: RunningRouter) -> dict[str, dict[str, Any]]:
    return {node["node_id"]: node for node in (await router.http.get("/fleet/status")).json()["nodes"]}


async def shows(
    router: RunningRouter, node_id: str, what: Callable[[dict[str, Any]], bool], within_s: float = 10
) -> None:
    async with asyncio.timeout(within_s):
        while not ((node := (await nodes(router)).get(node_id)) and what(node)):
            await asyncio.sleep(0.02)


def serving(node: dict[str, Any]) -> bool:
    return node["status"] == "online" and MODEL in node["ollama"]["models_available"]


def paused(node: dict[str, Any]) -> bool:
    return bool(node["capacity"]) and node["capacity"]["mode"] == "paused"


def command(*words: str) -> int:
    """The code with which `herd node` leaves."""
    with pytest.raises(SystemExit) as left:
        cli.build("herd-node")(list(words), exit_on_error=False, print_error=False)
    return int(left.value.code or 0)


def where(node: RunningNode) -> list[str]:
    return ["--node-id", node.settings.node_id, "--data-dir", str(node.settings.data_dir)]


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`herd node` itself claims its name; the tests' nodes are started without it."""
    monkeypatch.setattr("node.wishes.runs", lambda settings: True)


def lock(node: RunningNode) -> None:
    node.settings.lock_file.parent.mkdir(parents=True, exist_ok=True)
    node.settings.lock_file.touch()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_a_laptop_in_a_meeting_gets_nothing_new_its_waiting_work_moves_and_its_streams_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "MEETING_EVERY_S", 0.1)
    camera, more = tmp_path / "video0", asyncio.Event()
    camera.touch()
    async with running_router() as router, FakeOllama() as laptop, FakeOllama() as desk:
        laptop.models[MODEL].loaded = desk.models[MODEL].loaded = True
        laptop.script("/api/chat", streaming(LINE, more, LINE, LAST))
        desk.hold = asyncio.Event()
        told = {"router_url": router.url, "slots": 1}
        watch = ActivityWatch((sys.executable, "-c", LOOKS, str(tmp_path)))
        learns = {"meetings": watch, "enable_capacity_learning": True}
        async with (
            running_node(node_id="laptop", ollama_host=laptop.url, **learns, **told),
            running_node(node_id="desk", ollama_host=desk.url, **told),
        ):
            await shows(router, "laptop", lambda node: serving(node) and node["capacity"]["meeting"] == "none")
            await shows(router, "desk", serving)
            running = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(2)]
            await router.until(in_flight=2)
            waiting = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(3)]
            await router.until(pending=3)
            assert "laptop" in {view["node_id"] for view in (await router.queue())["waiting"]}
            call = subprocess.Popen(
                [sys.executable, "-c", HOLDS, str(camera)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert call.stdout is not None
            assert call.stdout.readline() == "open\n"
            await shows(router, "laptop", paused, within_s=5)  # the heartbeat's own interval is 5 s
            figures = await router.queue()
            assert [view["node_id"] for view in figures["waiting"]] == ["desk"] * 3
            waiting.append(asyncio.ensure_future(router.http.post("/api/chat", json=BODY)))
            desk.hold.set()
            answers = await asyncio.gather(*waiting)
            assert [answer.headers["x-fleet-node"] for answer in answers] == ["desk"] * 4
            more.set()
            finished = {answer.headers["x-fleet-node"]: answer.content for answer in await asyncio.gather(*running)}
            assert finished["laptop"] == LINE + LINE + LAST
            explained = (await router.http.get("/fleet/explain", params={"model": MODEL})).json()
            refusals = {one["node_id"]: one["reason"] for one in explained["refused"]}
            assert refusals == {"laptop": "paused: meeting_detected"}
            assert len(laptop.asked("/api/chat")) == 1
            call.communicate()


async def test_a_look_at_cameras_that_hangs_keeps_no_heartbeat_waiting() -> None:
    async with FakeRouter() as router:
        hangs = ActivityWatch((sys.executable, "-c", "import time; time.sleep(600)"))
        async with running_node(router_url=router.url, meetings=hangs, enable_capacity_learning=True):
            async with asyncio.timeout(5):
                while hangs._child is None:
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(activity.BUDGET_S - 1):  # before the child is given up
                last = await router.heard(len(router.beats) + 10)
            assert last["capacity"]["meeting"] == "unavailable"
            assert hangs._child is not None


async def test_a_new_machine_that_learns_is_served_through_from_its_first_minute() -> None:
    async with running_router() as router, FakeOllama() as fake:
        told = {"router_url": router.url, "ollama_host": fake.url, "detect_meetings": False}
        async with running_node(node_id="new", enable_capacity_learning=True, **told):
            await shows(router, "new", serving)
            answer = await router.http.post("/api/chat", json={**BODY, "stream": False})
            assert answer.headers["x-fleet-node"] == "new"
            capacity = (await nodes(router))["new"]["capacity"]
            assert capacity["mode"] == "bootstrap"
            assert 0.2 <= capacity["availability"] < 1
            assert capacity["ceiling_bytes"] > 0


async def test_the_owners_command_pauses_a_running_node_within_a_second_and_over_its_restart(
    tmp_path: Path, claimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeRouter() as router:
        router.ack["interval_s"] = 60
        async with running_node(node_id="mac", router_url=router.url, data_dir=tmp_path) as node:
            lock(node)
            await router.heard(2)
            assert router.beats[-1]["capacity"] is None
            before = len(router.beats)
            assert await asyncio.to_thread(command, "pause", "--for", "2h", *where(node)) == 0
            beat = await router.heard(before + 1, timeout_s=5)
            assert (beat["capacity"]["mode"], beat["capacity"]["reason"]) == ("paused", "manual_override")
            assert "mac takes nothing new until" in capsys.readouterr().out
        before = len(router.beats)
        async with running_node(node_id="mac", router_url=router.url, data_dir=tmp_path) as node:
            assert (await router.heard(before + 1))["capacity"]["mode"] == "paused"
            before = len(router.beats)
            assert await asyncio.to_thread(command, "resume", *where(node)) == 0
            assert (await router.heard(before + 1, timeout_s=5))["capacity"] is None


def test_a_pause_for_a_node_that_never_was_names_those_that_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "oak.lock").touch()
    with pytest.raises(SystemExit) as left:
        cli.build("herd-node")(["pause", "--node-id", "elm", "--data-dir", str(tmp_path)], exit_on_error=False)
    assert "oak" in str(left.value.code)
    assert command("pause", "--for", "soon", "--node-id", "oak", "--data-dir", str(tmp_path)) == 2
    assert "45m" in capsys.readouterr().err
    assert command("pause", "--node-id", "oak", "--data-dir", str(tmp_path)) == 0
    assert "does not run now" in capsys.readouterr().out


async def test_an_operators_pause_is_kept_by_the_node_and_the_routers_restart_does_not_end_it(
    tmp_path: Path, claimed: None
) -> None:
    homes = {"data_dir": tmp_path / "router"}
    homes["data_dir"].mkdir()
    async with FakeOllama() as fake, running_router(**homes) as router:
        told = {"node_id": "mac", "ollama_host": fake.url, "data_dir": tmp_path / "node"}
        async with running_node(router_url=router.url, **told) as node:
            await shows(router, "mac", serving)
            lock(node)
            assert (await router.http.post("/fleet/nodes/mac/pause")).status_code == 401
            answer = await router.http.post("/fleet/nodes/mac/pause", content=b'{"for":"2h"}', headers=router.admin)
            assert answer.json()["capacity"]["reason"] == "operator_override"
            await shows(router, "mac", paused, within_s=2)
            command("pause", *where(node))
            answer = await router.http.post("/fleet/nodes/mac/resume", headers=router.admin)
            assert (answer.json()["status"], answer.json()["capacity"]["reason"]) == ("paused", "manual_override")
            command("resume", *where(node))
            await shows(router, "mac", lambda seen: not paused(seen))
            await router.http.post("/fleet/nodes/mac/pause", headers=router.admin)
            await shows(router, "mac", paused)
        async with running_router(**homes) as later, running_node(router_url=later.url, **told):
            await shows(later, "mac", paused)
            answer = await later.http.post("/fleet/nodes/mac/resume", headers=later.admin)
            assert answer.json()["status"] == "resumed"
            await shows(later, "mac", lambda seen: serving(seen) and not paused(seen), within_s=2)


async def test_a_nodes_week_is_told_on_demand_and_drawn_on_its_card() -> None:
    async with running_router() as router:
        told = {"router_url": router.url, "detect_meetings": False}
        async with running_node(node_id="mac", enable_capacity_learning=True, **told) as node:
            await shows(router, "mac", lambda seen: seen["status"] == "online")
            lent = (await router.http.get("/fleet/nodes/mac/capacity")).json()
            assert [lent["week"][0]["day"], lent["week"][167]["day"], len(lent["week"])] == ["Mon", "Sun", 168]
            assert lent["capacity"]["mode"] == "bootstrap"
            node.agent._owner._drawn = "-" * 30 + "7" + "-" * 137
            node.agent._owner._judge()
            node.agent._wake.set()
            await shows(router, "mac", lambda seen: "7" in seen["capacity"]["week"])
            page = (await router.http.get("/dashboard")).text
            assert "Tue 6:00, 70 % or more left" in page


async def test_who_asks_for_a_node_that_is_not_there_or_says_nonsense_is_told_so() -> None:
    async with running_router() as router:
        assert (await router.http.get("/fleet/nodes/nobody/capacity")).status_code == 404
        answer = await router.http.post("/fleet/nodes/nobody/pause", headers=router.admin)
        assert answer.status_code == 404
        async with running_node(node_id="mac", router_url=router.url):
            await shows(router, "mac", lambda seen: seen["status"] == "online")
            answer = await router.http.post("/fleet/nodes/mac/pause", content=b'{"for":"soon"}', headers=router.admin)
            assert answer.status_code == 400
            assert "45m" in answer.text
        answer = await router.http.post("/fleet/nodes/mac/pause", headers=router.admin)
        assert answer.status_code == 502
