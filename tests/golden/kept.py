"""Recorded bodies and answers, and how to send them through llm's pure part. Knows no socket.

``request-NAME.json`` is what a client sends and ``forwarded-NAME.json`` what the engine gets, byte for byte;
``answer-NAME.sse`` or ``.ndjson`` is what an engine says and ``returned-NAME.*`` what the client then reads.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from app.fleet.job import Call, Job, Meter, Route
from app.modalities.llm import adapter
from app.modalities.llm.settings import LanguageModels
from node.wire import ModelReport

HERE = Path(__file__).parent
NOW = 1_795_488_660.25


def golden(name: str) -> bytes:
    return (HERE / name).read_bytes()


def job(endpoint: str, body: Any, **more: Any) -> Job:
    """The job of a body (bytes as they are, anything else as JSON), with clocks that stand still."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    clocks: dict[str, Any] = {"clock": lambda: NOW, "timer": lambda: 5.0}
    return adapter.job(endpoint, text, request_id="r1", **{**clocks, **more})


def route(
    model: str = "smollm2:135m",
    kind: str = "ollama",
    dialects: tuple[str, ...] = ("ollama", "openai"),
    how: str = "asked",
) -> Route:
    return Route(
        node_id="a", url="http://a", engine="e", engine_kind=kind, dialects=dialects, model=ModelReport(name=model),
        how=how,
    )  # fmt: skip


OPENAI_ONLY = route(kind="openai", dialects=("openai",))


def call(endpoint: str, body: Any, way: Route = OPENAI_ONLY, settings: LanguageModels = adapter.DEFAULT) -> Call:
    return job(endpoint, body, settings=settings).prepare(way)


def read(meter: Meter, pieces: Iterable[bytes]) -> bytes:
    """All that goes on to the client."""
    return b"".join([*map(meter.feed, pieces), meter.finish()])


def cuts(text: bytes) -> st.SearchStrategy[list[bytes]]:
    """The text in pieces, cut anywhere."""
    places = st.lists(st.integers(0, len(text)), max_size=40).map(lambda at: sorted({0, len(text), *at}))
    every = st.just(list(range(len(text) + 1)))
    return (places | every).map(lambda at: [text[a:b] for a, b in pairwise(at)])


def seen(meter: Meter) -> tuple[Any, ...]:
    """Everything that a meter concluded."""
    return meter.complete, meter.refusal, meter.failed, meter.usage
