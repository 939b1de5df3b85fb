"""A machine without any engine of its own: a node brings one, given a folder with a model file."""

from pathlib import Path

import httpx
import ollama
import pytest
from e2e.fleet import running_fleet
from programs import demo_model, eventually

pytestmark = pytest.mark.real_engine

MODEL = "smollm2:135m-embedded"


def test_a_folder_with_a_model_file_is_an_engine(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "smollm2--135m-embedded.gguf").symlink_to(demo_model())
    with running_fleet(tmp_path) as fleet:
        node = fleet.start_node("cedar", "--models-dir", models)
        eventually(lambda: fleet.engine("cedar", "embedded").get("port"), within_s=60, what="the embedded engine")
        answer = ollama.Client(host=fleet.url, trust_env=False).chat(
            MODEL, [{"role": "user", "content": "Tell me a story."}], options={"num_predict": 4, "temperature": 0}
        )
        assert (answer.eval_count, answer.done_reason) == (4, "length")
        port = fleet.engine("cedar", "embedded")["port"]
        assert node.stop() == 0
        with pytest.raises(httpx.ConnectError):  # the engine ended with its node
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
