"""What becomes of requests to real engines: spread, told truly, written down, and given up with their client."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from e2e.fleet import MODEL, Fleet
from programs import eventually

pytestmark = pytest.mark.real_engine

BODY: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Count."}], "max_tokens": 8, "temperature": 0}
ENDLESS: Any = {**BODY, "max_tokens": 1500, "ignore_eos": True, "stream": True}


def test_headers_tell_who_served(fleet: Fleet) -> None:
    answer = fleet.http.post("/v1/chat/completions", json=BODY)
    assert answer.headers["x-fleet-node"] in fleet.llamas
    assert 0 < int(answer.headers["x-fleet-score"]) < 200
    assert "x-fleet-retries" not in answer.headers
    assert "x-fleet-fallback" not in answer.headers


def test_the_name_may_be_written_as_ollamas_users_write_it(fleet: Fleet) -> None:
    answer = fleet.http.post("/v1/chat/completions", json={**BODY, "model": MODEL.upper()})
    assert answer.status_code == 200
    assert "x-fleet-fallback" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
def test_a_trace_tells_the_truth_about_its_request(fleet: Fleet, stream: bool) -> None:
    body = {**BODY, "stream": stream, "metadata": {"tags": ["e2e"]}, "user": "ada"}
    answer = fleet.http.post("/v1/chat/completions", json=body, headers={"X-Herd-Tags": "home"})
    trace = fleet.trace(answer.headers["x-request-id"])
    told = {
        "model": MODEL, "original_model": MODEL, "node_id": answer.headers["x-fleet-node"], "engine": "llama",
        "status": "completed", "endpoint": "/v1/chat/completions", "original_format": "openai", "streamed": stream,
        "completion_tokens": 8, "finish_reason": "length", "retry_count": 0, "fallback_used": False,
        "excluded_nodes": None, "client_ip": "127.0.0.1", "error_message": None, "tags": ["e2e", "home", "user:ada"],
    }  # fmt: skip
    assert {name: trace[name] for name in told} == told
    assert trace["prompt_tokens"] > 5
    assert 0 < trace["time_to_first_token_ms"] <= trace["latency_ms"]
    assert int(trace["score"]) == int(answer.headers["x-fleet-score"])
    points = dict(trace["scores_breakdown"])
    assert points.pop("total") == pytest.approx(trace["score"])
    assert sum(points.values()) == pytest.approx(trace["score"])
    assert abs(trace["timestamp"] - fleet.http.get("/fleet/status").json()["timestamp"]) < 60
    assert {"id", "queue_wait_ms", "user_agent"} <= trace.keys()


def test_a_request_in_ollamas_dialect_is_written_down_as_such(fleet: Fleet) -> None:
    options = {"num_predict": 5, "temperature": 0}
    body = {"model": MODEL, "prompt": "Count.", "options": options, "stream": False}
    answer = fleet.http.post("/api/generate", json=body)
    trace = fleet.trace(answer.headers["x-request-id"])
    assert (trace["original_format"], trace["endpoint"], trace["completion_tokens"]) == ("ollama", "/api/generate", 5)


def test_more_requests_than_slots_are_all_answered(fleet: Fleet) -> None:
    """Twenty at once on two servers of two slots: nobody is turned away, and no server is given more than it has."""

    def ask(number: int) -> httpx.Response:
        return fleet.http.post("/v1/chat/completions", json={**BODY, "max_tokens": 4, "seed": number})

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(ask, range(20))
        most = 0
        while (queue := fleet.http.get("/fleet/queue").json())["queue_depth"] or not most:
            running = [line["in_flight"] for line in queue["queues"].values() if line["model"] == MODEL]
            most = max(most, sum(running))
            assert all(number <= 2 for number in running)
        done = list(answers)
    assert [answer.status_code for answer in done] == [200] * 20
    assert [answer.json()["usage"]["completion_tokens"] for answer in done] == [4] * 20
    assert {answer.headers["x-fleet-node"] for answer in done} == set(fleet.llamas)
    assert most == 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", ENDLESS),
        ("/api/generate", {"model": MODEL, "prompt": "1 2 3 1 2 3 1 2 3", "raw": True, "options": {"temperature": 0}}),
    ],
)
def test_a_client_that_leaves_in_the_middle_frees_the_engine(fleet: Fleet, path: str, body: Any) -> None:
    with fleet.http.stream("POST", path, json=body) as answer:
        lines = answer.iter_lines()  # kept: a dropped iterator closes the connection
        next(lines)
        node = answer.headers["x-fleet-node"]
        assert fleet.llamas[node].busy() == 1
    eventually(lambda: not fleet.llamas[node].busy(), within_s=5, what="a free slot")
    assert fleet.trace(answer.headers["x-request-id"])["status"] == "client_disconnected"
    assert fleet.http.get("/fleet/queue").json()["in_flight"] == 0


def test_a_client_that_leaves_before_its_whole_answer_frees_the_engine(fleet: Fleet) -> None:
    with httpx.Client(base_url=fleet.url, trust_env=False, timeout=1.0) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post("/v1/chat/completions", json={**ENDLESS, "stream": False})
    eventually(lambda: fleet.http.get("/fleet/queue").json()["in_flight"] == 0, within_s=5, what="an idle router")
    # The server looks after a client that does not stream once it has had no other question for a second.
    llamas = fleet.llamas.values()
    eventually(lambda: not any(llama.busy() for llama in llamas), within_s=20, every_s=2, what="free slots")
