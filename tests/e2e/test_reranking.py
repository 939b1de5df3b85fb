"""Reranking by a real llama.cpp: a node with a model file of that kind, behind a real router."""

from pathlib import Path

import pytest
from e2e.fleet import running_fleet
from programs import demo_model, eventually
from tiny_reranker import tiny_reranker

pytestmark = pytest.mark.real_engine

MODEL = "tiny-reranker:e2e"
DOCUMENTS = ["the rain and the snow", "a price of the stock", "the cat and the dog", "a bank and the market"]


def test_a_folder_with_a_reranker_puts_documents_in_order(tmp_path: Path) -> None:
    demo_model()  # skips where there is no engine
    models = tmp_path / "models"
    models.mkdir()
    (models / "tiny-reranker--e2e.gguf").write_bytes(tiny_reranker())
    with running_fleet(tmp_path) as fleet:
        fleet.start_node("cedar", "--models-dir", models)
        eventually(lambda: fleet.engine("cedar", "embedded").get("port"), within_s=60, what="the embedded engine")
        engine = fleet.engine("cedar", "embedded")
        assert (engine["operations"], engine["models"][0]["modality"]) == (["rerank"], "rerank")
        for query, best in (("panda bear fish", {2}), ("bank cash", {1, 3}), ("storm wind", {0})):
            body = {"model": MODEL, "query": query, "documents": DOCUMENTS, "return_documents": True}
            answer = fleet.http.post("/v1/rerank", json=body)
            assert answer.status_code == 200, answer.text
            results = answer.json()["results"]
            scores = [result["relevance_score"] for result in results]
            assert {result["index"] for result in results[: len(best)]} == best, query
            assert scores == sorted(scores, reverse=True)
            assert results[0]["document"]["text"] == DOCUMENTS[results[0]["index"]]
        assert answer.headers["x-fleet-node"] == "cedar"
        trace = fleet.trace(answer.headers["x-request-id"])
        assert (trace["modality"], trace["status"]) == ("rerank", "completed")
        assert trace["prompt_tokens"] > 0
        long = {"model": MODEL, "query": "panda", "documents": ["cat " * 200]}
        assert fleet.http.post("/v1/rerank", json=long).status_code == 400
