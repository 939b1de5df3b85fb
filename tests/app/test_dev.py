"""`herd dev`: what a person sees who has no fleet yet, and the history that it makes up."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from app.dev.profiles import book
from app.dev.seed import DAY_S, traces
from app.processes import free_port

NOW = 1_795_485_600.0


def test_the_week_is_the_same_for_the_same_seed_and_its_traces_come_in_order() -> None:
    week = list(traces(NOW, count=500))
    assert week == list(traces(NOW, count=500))
    assert week != list(traces(NOW, count=500, seed=8))
    moments = [trace.timestamp for trace in week]
    assert moments == sorted(moments)
    assert NOW - 7 * DAY_S <= moments[0] <= moments[-1] <= NOW
    assert len({trace.request_id for trace in week}) == 500


def test_every_trace_of_the_week_could_have_been() -> None:
    nodes = {profile.name: {*profile.loaded, *profile.stored} for profile in book().node}
    for trace in traces(NOW, count=500):
        assert trace.model in nodes[trace.node_id]
        assert trace.latency_ms >= trace.queue_wait_ms >= 0
        assert trace.retry_count == len(trace.attempts) - 1
        assert (trace.status == "completed") == (trace.error_message is None or trace.retry_count > 0) or (
            trace.status == "client_disconnected"
        )


def test_a_router_with_three_nodes_and_a_history_answers_and_ends_with_its_command(tmp_path: Path) -> None:
    port = free_port(0)
    command = [sys.executable, "-P", "-m", "app.cli", "dev", "--port", str(port), "--requests", "300", "--no-traffic"]
    process = subprocess.Popen([*command, "--data-dir", str(tmp_path / "a b")], stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, trust_env=False, timeout=30) as http:
            deadline = time.monotonic() + 60
            while not _three_online(http):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            for path in ("/v1/chat/completions", "/api/chat"):
                body = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], "stream": False}
                answer = http.post(path, json={**body, "max_tokens": 3, "options": {"num_predict": 3}})
                assert answer.status_code == 200, answer.text
            assert http.get("/dashboard/api/overview").json()["total_requests"] > 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


def _three_online(http: httpx.Client) -> bool:
    try:
        return bool(http.get("/fleet/status").json()["fleet"]["nodes_online"] == 3)
    except httpx.HTTPError:
        return False
