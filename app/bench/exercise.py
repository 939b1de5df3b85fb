"""What a kind of work brings to be measured: one small question for a model. Pure; knows no kind of work by name."""

from collections.abc import Callable
from typing import Any

import msgspec

from app.fleet.job import Job

TAG = "benchmark"


class Exercise(msgspec.Struct, frozen=True, kw_only=True):
    """``ask`` makes the job: of a model, a request's id, a running number, and the kind's settings in force.

    ``unit`` is what an answer is counted in, each answer having ``each`` of them; 0: tokens, as the engine counts them.
    ``warms``: the first answer of a model is not counted. ``holds`` false: engines of this kind may keep nothing in
    memory between two answers, so that a model on disk is as ready as it gets.
    """

    ask: Callable[[str, str, int, Any], Job]
    unit: str = "tokens"
    each: int = 0
    warms: bool = True
    holds: bool = True
    timeout_s: float = 300.0
