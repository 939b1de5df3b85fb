"""`herd run` as a real process: it starts on whatever it finds, and stops with its last words written."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from fakes.fake_ollama import FakeOllama

from node.wire import EngineReport, Heartbeat, ModelReport

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
PROGRAM = "from app.cli import main; main()"


@contextmanager
def herd(home: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, "run", "--port", "0", "--host", "127.0.0.1", "--no-mdns"]
    with subprocess.Popen(
        [*command, "--data-dir", str(home), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_it_serves(process: subprocess.Popen[str]) -> str:
    """Reads the address in the banner (the port was chosen by the system) and asks there until somebody answers."""
    assert process.stdout is not None
    url = next((found[1] for line in process.stdout if (found := re.search(r"Ollama host\s+(http://\S+)", line))), "")
    deadline = time.monotonic() + 20
    with httpx.Client(trust_env=False, base_url=url) as http:
        while time.monotonic() < deadline:
            try:
                assert http.get("/healthz").json()["status"] == "ok"
            except httpx.ConnectError:
                time.sleep(0.05)
            else:
                return url
    raise AssertionError("it never answered")


def test_it_starts_on_a_damaged_database_and_stops_with_its_last_words_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "herd.db").write_bytes(os.urandom(10_000))
    with herd(home) as process:
        until_it_serves(process)
        files = [path for path in home.rglob("*") if path.is_file() and "damaged" not in path.name]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    lines = [json.loads(line) for line in (home / "logs" / "herd.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "database.damaged"
    assert Path(lines[0]["set_aside"]).exists()
    assert events[-1] == "router.stopping"
    assert not (home / "herd.db-wal").exists()  # closed in order


def test_an_interrupt_is_an_ordinary_end(tmp_path: Path) -> None:
    with herd(tmp_path) as process:
        until_it_serves(process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with herd(tmp_path / "file") as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.startswith("herd: cannot use the folder")
    assert said.count("\n") == 1


async def test_a_second_signal_cuts_what_runs_and_waits_and_tells_it_so(tmp_path: Path) -> None:
    async with FakeOllama() as fake:
        fake.hold_last = asyncio.Event()
        with herd(tmp_path) as process:
            url = await asyncio.to_thread(until_it_serves, process)
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                report = EngineReport(
                    name="ollama", kind="ollama", operations=("chat",), dialects=("ollama",), port=fake.port,
                    reach="loopback", models=(ModelReport(name="smollm2:135m", loaded=True),),
                )  # fmt: skip
                letter = msgspec.json.encode(Heartbeat(node_id="n", engines=(report,)))
                assert (await http.post("/heartbeat", content=letter)).status_code == 200
                body = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "x"}]}
                running, waiting = (asyncio.ensure_future(http.post("/api/chat", json=body)) for _ in range(2))
                await fake.requests.wait(1)
                while (await http.get("/fleet/queue")).json()["pending"] != 1:
                    await asyncio.sleep(0.01)
                for _ in range(2):
                    process.send_signal(signal.SIGTERM)
                    await asyncio.sleep(0.2)
                answers = sorted([await running, await waiting], key=lambda answer: answer.status_code)
            assert await asyncio.to_thread(process.wait, 15) == 0  # the drain would last 30 seconds
        assert [answer.status_code for answer in answers] == [200, 503]
        assert all("the router is stopping" in answer.text.splitlines()[-1] for answer in answers)
