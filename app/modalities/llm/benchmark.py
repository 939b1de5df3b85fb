"""The question by which a language model is measured: one sentence of each, streamed. Knows no node."""

import time
from typing import Any

import msgspec

from app.bench.exercise import Exercise
from app.fleet.job import Job
from app.modalities.llm import adapter

ENDPOINT = "/api/chat"
ANSWER_MOST = 128
"""Tokens of an answer: long enough for a steady pace, short enough to be done before anybody minds."""
PROMPTS = (
    "Say in one sentence what a shepherd does all day.",
    "Say in one sentence why the sky is blue.",
    "Describe a rainy harbour in one sentence.",
    "Name three rivers and the seas they reach, in one sentence.",
    "Explain in one sentence how a bicycle stays upright.",
    "Write one sentence that a friendly robot would say at a door.",
    "Say in one sentence what makes bread rise.",
    "Tell in one sentence how a lighthouse helps a ship.",
    "Explain in one sentence what a binary search does.",
    "Describe the taste of a lemon in one sentence.",
)


def _ask(model: str, request_id: str, number: int, settings: Any) -> Job:
    told = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPTS[number % len(PROMPTS)]}],
        "options": {"num_predict": ANSWER_MOST},
        "think": False,
        "stream": True,
    }
    return adapter.job(
        ENDPOINT, msgspec.json.encode(told), request_id=request_id, clock=time.time, timer=time.monotonic,
        may_substitute=False, settings=settings,
    )  # fmt: skip


EXERCISE = Exercise(ask=_ask)
