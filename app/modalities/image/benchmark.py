"""The question by which an image model is measured: one small picture. Knows no node."""

import time
from typing import Any

import msgspec

from app.bench.exercise import Exercise
from app.fleet.job import Job
from app.modalities.caller import Caller
from app.modalities.image import adapter

SIDE = 512
PROMPTS = (
    "a lighthouse on a cliff at dusk, oil painting",
    "a bowl of lemons on a wooden table, morning light",
    "a sheepdog watching a green valley",
    "an old bicycle against a red brick wall",
    "a paper boat on a quiet pond, watercolour",
)


def _ask(model: str, request_id: str, number: int, settings: Any) -> Job:
    told = {"model": model, "prompt": PROMPTS[number % len(PROMPTS)], "width": SIDE, "height": SIDE}
    return adapter.job(
        adapter.OWN_PATH, msgspec.json.encode(told), request_id=request_id, caller=Caller(), clock=time.time,
        settings=settings,
    )  # fmt: skip


EXERCISE = Exercise(ask=_ask, unit="images", each=1, warms=False, holds=False, timeout_s=120.0)
