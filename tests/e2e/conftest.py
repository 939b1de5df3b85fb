"""One fleet of two real engines for all tests, and the official clients pointed at it."""

from collections.abc import Iterator

import httpx
import httpx2
import ollama
import openai
import pytest
from e2e.fleet import Fleet, running_fleet
from programs import demo_model


@pytest.fixture(scope="session")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    demo_model()
    with running_fleet(tmp_path_factory.mktemp("fleet"), "ash", "birch") as running:
        yield running


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Fleet:
    """Two nodes, ash and birch, with a server each; what an earlier test ended is there again."""
    whole_fleet.heal()
    return whole_fleet


@pytest.fixture
def direct(fleet: Fleet) -> httpx.Client:
    """One of the engines, asked without Herd."""
    return fleet.llamas["ash"].http


@pytest.fixture(scope="session")
def openai_client(whole_fleet: Fleet) -> Iterator[openai.OpenAI]:
    http = httpx2.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{whole_fleet.url}/v1", api_key="any", http_client=http, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def ollama_client(whole_fleet: Fleet) -> ollama.Client:
    return ollama.Client(host=whole_fleet.url, trust_env=False, timeout=60)
