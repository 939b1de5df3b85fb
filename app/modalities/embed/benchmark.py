"""The question by which a model for embeddings is measured: a handful of texts. Knows no node."""

import time
from typing import Any

import msgspec

from app.bench.exercise import Exercise
from app.fleet.job import Job
from app.modalities.embed import adapter

TEXTS = (
    "The router keeps one queue for the whole fleet, and every request goes to the machine that answers it soonest.",
    "Sheep graze in the morning, rest at noon, and graze again until the light fades.",
    "A harbour master writes down each ship: its name, where it comes from, and what it carries.",
    "Bread needs flour, water, salt, something that makes it rise, and time.",
    "The old clock in the hall is four minutes slow, and nobody has the heart to correct it.",
)


def _ask(model: str, request_id: str, number: int, settings: Any) -> Job:
    texts = [f"{number}: {text}" for text in TEXTS]  # no text twice: an engine may remember
    body = msgspec.json.encode({"model": model, "input": texts})
    return adapter.job("/api/embed", body, request_id=request_id, timer=time.monotonic, settings=settings)


EXERCISE = Exercise(ask=_ask, unit="texts", each=len(TEXTS), timeout_s=60.0)
