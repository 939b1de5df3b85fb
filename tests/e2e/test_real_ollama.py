"""Herd in front of a real Ollama: what it reports, what it answers, and what the `ollama` command line makes of it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from e2e.ollama_process import MODEL, SLOTS, Herd, Ollama, herd_before_ollama
from programs import eventually

from node.machine.processes import ollama_processes

pytestmark = pytest.mark.real_ollama

MESSAGES = [{"role": "user", "content": "Count to five."}]
OPTIONS = {"temperature": 0, "seed": 1, "num_predict": 12}
EXACT = {"temperature": 0, "seed": 1, "max_tokens": 12}
QUESTIONS: dict[str, dict[str, Any]] = {
    "/api/chat": {"model": MODEL, "messages": MESSAGES, "options": OPTIONS},
    "/api/generate": {"model": MODEL, "prompt": "Count to five.", "options": OPTIONS},
    "/v1/chat/completions": {"model": MODEL, "messages": MESSAGES, **EXACT},
    "/v1/completions": {"model": MODEL, "prompt": "Count to five.", **EXACT},
}
COUNTING: dict[str, Any] = {
    "model": MODEL, "prompt": "1, 2, 3, 4, 5,", "raw": True, "options": {"temperature": 0, "num_predict": 4000},
}  # fmt: skip
"""It counts on and on."""
OF_THE_MOMENT = {"id", "created", "created_at"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    with herd_before_ollama(tmp_path_factory.mktemp("ollama")) as running:
        yield running


@pytest.fixture
def ollama(fleet: Herd) -> Ollama:
    return fleet.ollama


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """A record of an answer without what differs each time: names, times and durations."""
    return {key: value for key, value in record.items() if key not in OF_THE_MOMENT and not key.endswith("_duration")}


def records(http: httpx.Client, path: str, *, stream: bool) -> list[Any]:
    answer = http.post(path, json={**QUESTIONS[path], "stream": stream})
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    return [line if line == "[DONE]" else lasting(json.loads(line)) for line in lines]


def said(done: Any) -> str:
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_what_is_reported_of_a_model_is_what_ollama_says_of_it(fleet: Herd, ollama: Ollama) -> None:
    ollama.unload()
    (listed,) = ollama.http.get("/api/tags").json()["models"]
    shown = ollama.http.post("/api/show", json={"model": MODEL}).json()
    model = fleet.until_known(loaded=False)
    told = {
        "name": MODEL, "modality": "llm", "size_bytes": listed["size"], "digest": listed["digest"],
        "modified_at": listed["modified_at"], "format": "gguf", "family": "llama",
        "parameters": listed["details"]["parameter_size"], "quantization": listed["details"]["quantization_level"],
        "capabilities": shown["capabilities"], "context_max": shown["model_info"]["llama.context_length"],
        "context_length": None, "resident_bytes": None,
    }  # fmt: skip
    assert {name: model[name] for name in told} == told
    assert fleet.engine()["version"] == ollama.http.get("/api/version").json()["version"]

    ollama.http.post("/api/generate", json={"model": MODEL, "keep_alive": -1})
    model = fleet.until_known(loaded=True)
    running = ollama.loaded()[MODEL]
    assert (model["resident_bytes"], model["context_length"]) == (running["size"], running["context_length"])
    assert model["expires_at"] == running["expires_at"]


def test_the_slots_are_read_from_the_runner(fleet: Herd, ollama: Ollama) -> None:
    ollama.http.post("/api/generate", json={"model": MODEL, "keep_alive": -1})
    (runner,) = ollama_processes(ollama.port).runners
    recipe = ollama.http.post("/api/show", json={"model": MODEL}).json()["modelfile"]
    assert runner.blob
    assert runner.blob in recipe
    assert runner.port
    assert runner.parallel in (SLOTS, None)  # up to 0.24 the command line does not tell
    assert fleet.until_known(loaded=True)["slots"] == SLOTS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", QUESTIONS)
def test_an_answer_is_the_one_that_ollama_gives(fleet: Herd, ollama: Ollama, path: str, stream: bool) -> None:
    own = records(ollama.http, path, stream=stream)
    assert records(fleet.http, path, stream=stream) == own
    assert len(own) > 5 if stream else len(own) == 1


def test_a_request_for_a_cold_model_loads_it_to_stay(fleet: Herd, ollama: Ollama) -> None:
    ollama.unload()
    fleet.until_known(loaded=False)
    answer = fleet.http.post("/api/chat", json={**QUESTIONS["/api/chat"], "stream": False})
    assert answer.status_code == 200
    assert answer.json()["load_duration"] > 0
    assert ollama.loaded()[MODEL]["expires_at"] > "2200"
    fleet.until_known(loaded=True)
    assert "Forever" in said(ollama.command("ps", host=fleet.url))


@pytest.mark.parametrize(("wrong", "status"), [({"think": True}, 400), ({"format": "xml"}, 500)])
def test_what_ollama_refuses_it_refuses_in_its_own_words(
    fleet: Herd, ollama: Ollama, wrong: dict[str, Any], status: int
) -> None:
    asked = {**QUESTIONS["/api/chat"], **wrong}
    own, answer = (http.post("/api/chat", json=asked) for http in (ollama.http, fleet.http))
    assert own.status_code == answer.status_code == status
    assert answer.content == own.content


def test_tools_for_a_model_that_knows_none_are_refused_at_once_as_ollama_does(fleet: Herd, ollama: Ollama) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    for http in (ollama.http, fleet.http):
        answer = http.post("/api/chat", json={**QUESTIONS["/api/chat"], "tools": [tool]})
        assert (answer.status_code, "does not support tools" in answer.json()["error"]) == (400, True)


def test_a_client_that_leaves_in_the_middle_frees_the_runner(fleet: Herd, ollama: Ollama) -> None:
    with fleet.http.stream("POST", "/api/generate", json=COUNTING) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["done"] is False
        eventually(ollama.works, what="a runner at work")
    eventually(lambda: not ollama.works(), what="an idle runner")
    assert fleet.http.get("/fleet/queue").json()["in_flight"] == 0


def test_the_command_line_lists_shows_and_runs_the_model(fleet: Herd, ollama: Ollama) -> None:
    def told(*words: str) -> str:
        own, here = (said(ollama.command(*words, host=host)) for host in (ollama.url, fleet.url))
        assert here == own
        return here

    ollama.http.post("/api/generate", json={"model": MODEL, "keep_alive": -1})
    fleet.until_known(loaded=True)
    assert MODEL in told("list")
    assert "100% CPU" in told("ps") or "GPU" in told("ps")
    assert "llama" in told("show", MODEL)
    assert told("show", "--modelfile", MODEL)
    assert told("--version")
    assert told("run", MODEL, "Count to five.").split()


def test_the_command_line_stops_a_model(fleet: Herd, ollama: Ollama) -> None:
    ollama.http.post("/api/generate", json={"model": MODEL, "keep_alive": -1})
    fleet.until_known(loaded=True)
    said(ollama.command("stop", MODEL, host=fleet.url))
    eventually(lambda: not ollama.loaded(), what="an empty memory")
    fleet.until_known(loaded=False)
    assert MODEL not in said(ollama.command("ps", host=fleet.url))


def test_the_command_line_says_that_a_model_is_not_there(fleet: Herd, ollama: Ollama) -> None:
    refused = ollama.command("show", "nobody-has-this", host=fleet.url)
    assert refused.returncode == 1
    assert "not found" in refused.stderr


def test_an_ollama_that_ends_is_told_and_serves_again_when_it_is_back(fleet: Herd, ollama: Ollama) -> None:
    ollama.kill()
    eventually(lambda: not fleet.engine()["healthy"], what="an engine that is down")
    assert fleet.model()["name"] == MODEL  # known, not forgotten
    answer = fleet.http.post("/api/chat", json=QUESTIONS["/api/chat"])
    assert answer.status_code == 503
    assert MODEL in answer.json()["error"]
    ollama.start()
    eventually(lambda: fleet.engine()["healthy"], what="an engine that is back")
    assert fleet.http.post("/api/chat", json=QUESTIONS["/api/chat"]).status_code == 200
