"""Real engines that are killed or fall silent and nodes that leave, each in the middle of its work."""

import json
import os
import signal
import threading
from typing import Any

import httpx
import ollama
import openai
import pytest
from e2e.fleet import MODEL, Fleet
from programs import eventually

pytestmark = [pytest.mark.real_engine, pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")]

ASKED: Any = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Count."}],
    "max_tokens": 2,
    "options": {"num_predict": 2},
}
LONG: Any = {**ASKED, "max_tokens": 60, "ignore_eos": True}


def other(fleet: Fleet, node_id: str) -> str:
    return next(name for name in fleet.llamas if name != node_id)


def working(fleet: Fleet) -> str | None:
    """The node whose engine is at work now."""
    return next((name for name, llama in fleet.llamas.items() if llama.busy()), None)


def test_an_engine_that_is_killed_takes_no_answer_with_it(fleet: Fleet) -> None:
    answers: list[httpx.Response] = []
    client = threading.Thread(target=lambda: answers.append(fleet.http.post("/v1/chat/completions", json=LONG)))
    client.start()
    victim = eventually(lambda: working(fleet), what="work")
    fleet.llamas[victim].program.kill()
    client.join(60)
    heir = other(fleet, victim)
    (answer,) = answers
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 60
    assert (answer.headers["x-fleet-node"], answer.headers["x-fleet-retries"]) == (heir, "1")
    trace = fleet.trace(answer.headers["x-request-id"])
    assert (trace["node_id"], trace["retry_count"], trace["excluded_nodes"]) == (heir, 1, [victim])
    assert [attempt["outcome"] for attempt in trace["attempts"]] == ["retried", "completed"]

    following = fleet.http.post("/v1/chat/completions", json=ASKED)
    assert (following.status_code, following.headers["x-fleet-node"]) == (200, heir)


def test_an_engine_that_is_killed_in_the_middle_of_a_stream_ends_it_with_an_error(fleet: Fleet) -> None:
    with fleet.http.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        victim = answer.headers["x-fleet-node"]
        fleet.llamas[victim].program.kill()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert answer.status_code == 200
    assert "error" in events[-1]
    assert fleet.trace(answer.headers["x-request-id"])["status"] in ("failed", "incomplete")

    following = fleet.http.post("/api/chat", json={**ASKED, "stream": False})
    assert (following.status_code, following.headers["x-fleet-node"]) == (200, other(fleet, victim))


def test_engines_that_are_down_are_told_with_what_they_had_and_their_model_is_not_called_unknown(
    fleet: Fleet, openai_client: openai.OpenAI, ollama_client: ollama.Client
) -> None:
    fleet.llamas["ash"].program.kill()
    hung = fleet.llamas["birch"].program
    hung.tell(signal.SIGSTOP)  # it takes connections and never answers
    try:
        for node_id in fleet.llamas:
            eventually(lambda node_id=node_id: not fleet.engine(node_id)["healthy"], what=f"{node_id}, down")  # type: ignore[misc]
            engine = fleet.engine(node_id)
            assert engine["stale"]
            assert engine["error"]
            assert [model["name"] for model in engine["models"]] == [MODEL]
            assert fleet.status(node_id)["status"] == "online"
        with pytest.raises(openai.InternalServerError) as refused:
            openai_client.chat.completions.create(model=MODEL, messages=ASKED["messages"])
        assert refused.value.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) > 0
        assert MODEL in refused.value.message
        with pytest.raises(ollama.ResponseError) as told:
            ollama_client.generate(MODEL, "Count.")
        assert told.value.status_code == 503
        assert MODEL in told.value.error
    finally:
        hung.tell(signal.SIGCONT)
    eventually(lambda: fleet.serves("birch"), what="birch, serving again")
    answer = fleet.http.post("/v1/chat/completions", json=ASKED)
    assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "birch")


def test_a_node_that_is_told_to_stop_finishes_its_stream_and_gets_nothing_new(fleet: Fleet) -> None:
    with fleet.http.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        leaving = answer.headers["x-fleet-node"]
        node = fleet.nodes[leaving]
        node.tell(signal.SIGTERM)
        eventually(lambda: fleet.status(leaving)["status"] == "draining", what="a draining node")
        assert fleet.llamas[leaving].busy() == 1
        for _ in range(3):
            following = fleet.http.post("/v1/chat/completions", json=ASKED)
            assert following.headers["x-fleet-node"] == other(fleet, leaving)
        assert node.process.poll() is None  # it waits for its stream
        *_, finish, done = [line for line in lines if line]
    assert json.loads(finish[6:])["choices"][0]["finish_reason"] == "length"
    assert done == "data: [DONE]"
    assert node.process.wait(20) == 0
    assert fleet.status(leaving)["status"] == "offline"
    assert fleet.trace(answer.headers["x-request-id"])["completion_tokens"] == 60


def test_two_nodes_on_one_machine_open_a_door_each(fleet: Fleet) -> None:
    ports = {program.until_said(r"door\.opened\D+port\D+(\d+)") for program in fleet.nodes.values()}
    assert len(ports) == 2
