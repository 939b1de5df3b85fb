"""Embeddings by a real Ollama behind Herd: its own answers, its digest, and a model that stays in memory."""

from collections.abc import Iterator
from typing import Any

import ollama as client
import pytest
from e2e import minilm
from e2e.ollama_process import Herd, herd_before_ollama
from programs import eventually

pytestmark = pytest.mark.real_ollama

MODEL = "all-minilm:real"
TEXTS = ["The cat sat on the mat.", "The stock market rose today."]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    home = tmp_path_factory.mktemp("ollama")
    with herd_before_ollama(home) as running:
        if wanting := minilm.missing():
            pytest.skip(f"needs a package: {wanting}")
        recipe = home / "Modelfile"
        recipe.write_text(f"FROM {minilm.write(home / 'minilm.gguf')}\nPARAMETER num_thread 1\n", "utf-8")
        assert running.ollama.command("create", MODEL, "-f", str(recipe)).returncode == 0
        eventually(lambda: report(running), what="the model's report")
        yield running


def report(fleet: Herd) -> dict[str, Any]:
    models = fleet.engine().get("models", ())
    return next((model for model in models if model["name"] == MODEL), {})


def test_a_request_that_cannot_say_so_keeps_the_model_in_memory(fleet: Herd) -> None:
    """The first test, as the router does not ask twice within a minute."""
    assert MODEL not in fleet.ollama.loaded()
    assert fleet.http.post("/v1/embeddings", json={"model": MODEL, "input": "cat"}).status_code == 200
    eventually(lambda: fleet.ollama.loaded().get(MODEL, {}).get("expires_at", "") > "2100", what="a model that stays")


def test_vectors_are_those_that_ollama_gives(fleet: Herd) -> None:
    own = fleet.ollama.http.post("/api/embed", json={"model": MODEL, "input": TEXTS}).json()
    answer = fleet.http.post("/api/embed", json={"model": MODEL, "input": TEXTS}).json()
    assert answer["embeddings"] == own["embeddings"]
    assert answer["prompt_eval_count"] == own["prompt_eval_count"]
    openai = fleet.http.post("/v1/embeddings", json={"model": MODEL, "input": TEXTS}).json()
    assert [row["embedding"] for row in openai["data"]] == own["embeddings"]
    old = client.Client(host=fleet.url, trust_env=False).embeddings(MODEL, TEXTS[0])
    assert list(old.embedding) == own["embeddings"][0]


def test_a_text_is_cut_unless_that_is_forbidden(fleet: Herd) -> None:
    body = {"model": MODEL, "input": "word " * 700}
    assert len(fleet.http.post("/api/embed", json=body).json()["embeddings"][0]) == 384
    refused = fleet.http.post("/api/embed", json={**body, "truncate": False})
    own = fleet.ollama.http.post("/api/embed", json={**body, "truncate": False})
    assert (refused.status_code, refused.json()["error"]) == (400, own.json()["error"])


def test_its_weights_are_known_by_their_digest(fleet: Herd) -> None:
    [own] = [row for row in fleet.ollama.http.get("/api/tags").json()["models"] if row["name"] == MODEL]
    assert report(fleet)["digest"] == own["digest"]
    assert report(fleet)["modality"] == "embed"
