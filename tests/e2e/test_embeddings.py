"""Real vectors: all-MiniLM-L6-v2 in llama.cpp, on two nodes, asked by the official clients and by curl."""

import base64
import json
import math
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import httpx
import httpx2
import ollama
import openai
import pytest
from e2e import minilm
from e2e.fleet import Fleet, running_fleet
from programs import demo_model, eventually

pytestmark = pytest.mark.real_engine

MODEL = "all-minilm:e2e"
KNOWN = "nomic-embed-text"
"""The same weights under a name that printed commands use."""
CAT = "The cat sat on the mat."
FELINE = "The lazy feline naps on the mat"
STOCKS = "The stock market rose today."
TEXTS = [f"Chapter {n}: what happened on day {n % 7} of the voyage." for n in range(80)]
COMMANDS = [
    """curl http://router-ip:11435/api/embed \\
  -d '{"model": "nomic-embed-text", "input": "your text here"}'""",
    """curl http://router-ip:11435/api/embed \\
  -d '{"model": "nomic-embed-text", "input": ["first document", "second document", "third document"]}'""",
    """curl http://router-ip:11435/api/embeddings \\
  -d '{"model": "nomic-embed-text", "prompt": "your text here"}'""",
]
"""As people copy them; only the router's address is put in."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two nodes, elm and fir, each with the model's file in its folder; elm has it under a second name too."""
    demo_model()  # skips without the engine
    if wanting := minilm.missing():
        pytest.skip(f"needs a package: {wanting}")
    home = tmp_path_factory.mktemp("minilm")
    file = minilm.write(home / "minilm.gguf")
    held = {"elm": (MODEL, KNOWN), "fir": (MODEL,)}
    with running_fleet(home) as running:
        for node_id, names in held.items():
            (home / node_id / "models").mkdir(parents=True)
            for name in names:
                (home / node_id / "models" / f"{name.replace(':', '--')}.gguf").symlink_to(file)
            running.start_node(node_id, "--models-dir", home / node_id / "models")
        for node_id, names in held.items():
            there = partial(serves, running, node_id, len(names))
            eventually(there, within_s=60, what=f"{node_id}, serving")
        yield running


def serves(fleet: Fleet, node_id: str, models: int) -> bool:
    """Whether the router knows so many models of the node, with the proof of what they are."""
    engines = fleet.status(node_id).get("engines", [])
    return sum(bool(engine["port"] and model["digest"]) for engine in engines for model in engine["models"]) == models


@pytest.fixture(scope="module")
def openai_client(fleet: Fleet) -> Iterator[openai.OpenAI]:
    http = httpx2.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{fleet.url}/v1", api_key="any", http_client=http, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def ollama_client(fleet: Fleet) -> ollama.Client:
    return ollama.Client(host=fleet.url, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def direct(fleet: Fleet) -> Iterator[httpx.Client]:
    """One of the engines, asked without Herd."""
    [port] = [
        engine["port"]
        for engine in fleet.status("elm")["engines"]
        if MODEL in (model["name"] for model in engine["models"])
    ]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http:
        yield http


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(x * y for x, y in zip(one, other, strict=True))
    return product / math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))


def same(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> bool:
    """Vectors of one text differ in their last digits by what was computed beside it."""
    return len(one) == len(other) and all(cosine(a, b) > 0.9999 for a, b in zip(one, other, strict=True))


def test_meaning_is_measured_as_the_model_measures_it(ollama_client: ollama.Client) -> None:
    """The figures are the model's own, as an independent program of it has them too."""
    answer = ollama_client.embed(MODEL, [CAT, FELINE, STOCKS])
    cat, feline, stocks = answer.embeddings
    assert len(cat) == 384
    assert cosine(cat, feline) == pytest.approx(0.586, abs=0.002)
    assert cosine(cat, stocks) == pytest.approx(0.091, abs=0.002)
    assert math.sqrt(sum(x * x for x in cat)) == pytest.approx(1.0, abs=0.001)
    assert answer.prompt_eval_count == 28
    assert answer.total_duration


def test_openais_client_gets_what_the_engine_says(openai_client: openai.OpenAI, direct: httpx.Client) -> None:
    """It asks for base64 where nothing is said."""
    body = {"model": MODEL, "input": [CAT, STOCKS]}
    told = direct.post("/v1/embeddings", json=body).json()
    own = [row["embedding"] for row in told["data"]]
    answer = openai_client.embeddings.create(**body)  # type: ignore[arg-type]
    assert same([row.embedding for row in answer.data], own)
    assert [row.index for row in answer.data] == [0, 1]
    assert (answer.model, answer.usage.prompt_tokens) == (MODEL, told["usage"]["prompt_tokens"])
    floats = openai_client.embeddings.create(**body, encoding_format="float")  # type: ignore[arg-type]
    assert same([row.embedding for row in floats.data], own)


def test_the_old_prompt_has_its_one_vector(ollama_client: ollama.Client) -> None:
    old = ollama_client.embeddings(MODEL, CAT).embedding
    assert same([old], ollama_client.embed(MODEL, CAT).embeddings)


def test_tokens_are_a_text_too(openai_client: openai.OpenAI, direct: httpx.Client) -> None:
    tokens = direct.post("/tokenize", json={"content": CAT, "add_special": True}).json()["tokens"]
    by_tokens = openai_client.embeddings.create(model=MODEL, input=tokens).data[0].embedding
    by_text = openai_client.embeddings.create(model=MODEL, input=CAT).data[0].embedding
    assert same([by_tokens], [by_text])


def test_a_vector_is_as_long_as_it_was_asked_to_be(openai_client: openai.OpenAI) -> None:
    [row] = openai_client.embeddings.create(model=MODEL, input=CAT, dimensions=64).data
    assert len(row.embedding) == 64
    assert math.sqrt(sum(x * x for x in row.embedding)) == pytest.approx(1.0, abs=0.001)


def test_a_long_list_is_served_by_both_nodes_and_is_what_one_engine_says(fleet: Fleet, direct: httpx.Client) -> None:
    body = {"model": MODEL, "input": TEXTS, "encoding_format": "base64", "metadata": {"tags": ["voyage"]}}
    answer = fleet.http.post("/v1/embeddings", json=body)
    shares = dict(share.split("=") for share in answer.headers["x-fleet-split"].split(", "))
    assert shares.keys() == {"elm", "fir"}
    assert sum(map(int, shares.values())) == len(TEXTS)
    own = direct.post("/v1/embeddings", json={"model": MODEL, "input": TEXTS}).json()
    vectors = [struct.unpack("<384f", base64.b64decode(row["embedding"])) for row in answer.json()["data"]]
    assert same(vectors, [row["embedding"] for row in own["data"]])
    assert answer.json()["usage"] == own["usage"]
    trace = fleet.trace(answer.headers["x-request-id"])
    assert (trace["modality"], trace["tags"], trace["prompt_tokens"]) == (
        "embed", ["voyage"], own["usage"]["prompt_tokens"],
    )  # fmt: skip
    assert trace["notes"][0].startswith("input.split ")


def test_a_text_that_is_too_long_is_the_clients_error(
    openai_client: openai.OpenAI, ollama_client: ollama.Client
) -> None:
    long: Any = [CAT, "word " * 600]
    with pytest.raises(openai.BadRequestError, match="602 tokens"):
        openai_client.embeddings.create(model=MODEL, input=long)
    with pytest.raises(ollama.ResponseError, match="602 tokens") as caught:
        ollama_client.embed(MODEL, long)
    assert caught.value.status_code == 400


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_that_people_copy_work_letter_by_letter(fleet: Fleet, command: str) -> None:
    words = shlex.split(command.replace("http://router-ip:11435", fleet.url).replace("\\\n", " "))
    said = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert [len(vector) for vector in said["embeddings"]] == [384] * (
        3 if "documents" in command or "[" in command else 1
    )
    assert ("embedding" in said) == ("prompt" in command)
