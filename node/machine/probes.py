"""Questions that may hang, each in a thread of its own: asked at its own pace, waited for briefly. Knows no answer.

A probe that does not come back is not asked a second time until it does, and nobody waits for it again. Its thread is
a daemon: it keeps no process from ending.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

import msgspec
import structlog

BUDGET_S = 2.0
"""Seconds for which a round waits for what it asked."""
FADE_S = 60.0
"""Seconds after which an answer that could not be had again is no truth any more."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """``ask`` gives facts by their names; it blocks, and may raise. ``every_s`` is how often its answer is wanted anew.

    ``fades``: without a new answer its facts are forgotten after a while; else the last ones stand for ever.
    """

    name: str
    ask: Callable[[], Mapping[str, Any]]
    every_s: float
    fades: bool = True


class Probes:
    """Keeps the newest facts of several probes. ``facts`` is to be called by one task at a time."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._turns = [_Turn(probe) for probe in probes]

    async def facts(self) -> dict[str, Any]:
        """What is known now, after a new answer of each probe whose time has come, or ``BUDGET_S`` later."""
        now = asyncio.get_running_loop().time()
        asked = [turn.begin(now) for turn in self._turns if turn.due(now)]
        if asked:
            await asyncio.wait(asked, timeout=BUDGET_S)
        now = asyncio.get_running_loop().time()
        known: dict[str, Any] = {}
        for turn in self._turns:
            known |= turn.facts(now)
        return known


class _Turn:
    """One probe and what it told."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._asking: asyncio.Future[Mapping[str, Any]] | None = None
        self._next_at = 0.0
        self._told: Mapping[str, Any] = {}
        self._told_at = 0.0
        self._complaint = ""
        self._log = structlog.get_logger("machine")

    def due(self, now: float) -> bool:
        return self._asking is None and now >= self._next_at

    def begin(self, now: float) -> asyncio.Future[Mapping[str, Any]]:
        answer: Future[Mapping[str, Any]] = Future()
        Thread(target=_answer, args=(answer, self._probe.ask), name=f"probe-{self._probe.name}", daemon=True).start()
        self._next_at = now + self._probe.every_s
        self._asking = asyncio.wrap_future(answer)
        return self._asking

    def facts(self, now: float) -> Mapping[str, Any]:
        if self._asking is not None:
            if self._asking.done():
                self._take(self._asking, now)
                self._asking = None
            elif self._news("no answer in time"):
                self._log.warning("machine.slow", probe=self._probe.name, error=f"no answer within {BUDGET_S:g} s")
        if self._probe.fades and now - self._told_at > max(FADE_S, 3 * self._probe.every_s):
            return {}
        return self._told

    def _take(self, answer: asyncio.Future[Mapping[str, Any]], now: float) -> None:
        error = answer.exception()
        if error is None:
            self._told, self._told_at, self._complaint = answer.result(), now, ""
        elif self._news(repr(error)):
            self._log.warning("machine.unavailable", probe=self._probe.name, error=repr(error))

    def _news(self, complaint: str) -> bool:
        """What stays the same is said once."""
        news, self._complaint = complaint != self._complaint, complaint
        return news


def _answer(answer: "Future[Mapping[str, Any]]", ask: Callable[[], Mapping[str, Any]]) -> None:
    try:
        answer.set_result(ask())
    except Exception as error:  # the whole of a thread: whoever waits for the answer is told of it
        answer.set_exception(error)
