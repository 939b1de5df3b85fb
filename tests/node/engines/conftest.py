"""What the engines' tests share: a client as the node has it, and the model file of the demo. Knows no engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import programs
import pytest


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def demo_model() -> Path:
    """The GGUF file of the demo; skips, saying so, where it or the engine is not installed."""
    return programs.demo_model()
