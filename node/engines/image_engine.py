"""A command-line tool that makes images, as an engine: one run of it for each image. Knows no tool by name.

The door asks it for OpenAI's ``POST /v1/images/generations``; when the router leaves, the run ends with all that it
started. Runs that fail again and again are quarantine: one try per ten minutes, until one succeeds.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from node.engines.base import Answer, Question
from node.engines.image_order import BODY_MOST, Order, Refused, order_of
from node.engines.image_program import Program
from node.engines.image_run import Failed, ImageRun
from node.engines.image_tool import ImageTool, Recipe, words_of
from node.engines.lane import Lane, LaneFull
from node.engines.process import Restarts
from node.wire import EngineReport, ModelReport

TURN_WAIT_S = 10.0
"""Seconds that an image waits for its turn; whoever sends it should have waited until there is one."""
HEAR_S = 1.0
"""Seconds that a report waits for a program which is asked what it can do."""


class ImageEngine:
    """``paths`` are the tool's programs that are here. ``lane`` is shared with the node's other tools of the kind."""

    url = ""

    def __init__(
        self, tool: ImageTool, paths: Mapping[str, Path], lane: Lane, *, version: str, timeout_s: float
    ) -> None:
        self.name = self.kind = tool.kind
        self._tool = tool
        self._programs = {name: Program(tool, path) for name, path in paths.items()}
        self._lane = lane
        self._version = version
        self._timeout_s = timeout_s
        self._runs: list[ImageRun] = []
        self._restarts = Restarts()
        self._last_crash = ""
        self._closed = False
        self._log = structlog.get_logger("images").bind(engine=self.name)

    async def start(self) -> None:
        await self._tend(0.0)

    async def report(self) -> EngineReport:
        await self._tend(HEAR_S)
        models = tuple(
            ModelReport(name=recipe.model, modality="image", slots=self._lane.slots) for recipe, _ in self._able()
        )
        held = self._held_s() > 0
        troubles = [program.trouble for program in self._programs.values() if program.trouble]
        if held:
            troubles.insert(0, self._quarantine())
        return EngineReport(
            name=self.name,
            kind=self.kind,
            version=self._version,
            healthy=bool(models) and not held,
            error=" ".join(troubles),
            operations=("image",) if models else (),
            dialects=("openai",),
            reach="door",
            lane=self._lane.name,
            lane_slots=self._lane.slots,
            progress=min((run.progress for run in self._runs), default=None),
            quarantined=self._restarts.quarantined,
            models=models,
        )

    async def answer(self, question: Question) -> Answer:
        try:
            if (question.method, question.path) != ("POST", "/v1/images/generations"):
                raise Refused("This engine answers POST /v1/images/generations.", status=404, code="unknown_url")
            order = order_of(await _body(question))
            commands = self._commands(order)
            async with self._lane.turn(TURN_WAIT_S):
                images = [await self._image(order, command) for command in commands]
        except LaneFull:
            busy = f"This node makes {self._lane.slots} at a time, and is busy."
            return Refused(busy, status=503, code="busy", retry_s=TURN_WAIT_S).answer()
        except Refused as refused:
            return refused.answer()
        data = [{"b64_json": base64.b64encode(image).decode()} for image in images]
        return Answer(body=msgspec.json.encode({"created": int(time.time()), "data": data}))

    async def aclose(self) -> None:
        self._closed = True
        async with asyncio.TaskGroup() as group:
            for run in self._runs:
                group.create_task(run.stop())
            for program in self._programs.values():
                group.create_task(program.aclose())

    async def _tend(self, wait_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            for program in self._programs.values():
                group.create_task(program.tend(wait_s))

    def _able(self) -> list[tuple[Recipe, Program]]:
        """The models that the programs here have said they can make."""
        able = []
        for recipe in self._tool.recipes:
            program = self._programs.get(recipe.program)
            if program and program.abilities and all(map(program.abilities.allow, recipe.words)):
                able.append((recipe, program))
        return able

    def _commands(self, order: Order) -> list[list[str]]:
        """The command line of each image of the order. Raises ``Refused``."""
        chosen = [(recipe, program) for recipe, program in self._able() if recipe.model == order.model]
        if not chosen:
            raise Refused(f"{self.name} has no model {order.model!r} here.", status=404, code="model_not_found")
        recipe, program = chosen[0]
        assert program.abilities is not None
        seed = order.seed
        if seed is None and order.n > 1 and "seed" in self._tool.options:
            seed = secrets.randbelow(2**32)  # the tools take the time: two images of one second would be the same
        orders = [msgspec.structs.replace(order, seed=None if seed is None else seed + at) for at in range(order.n)]
        return [[str(program.path), *words_of(self._tool, recipe, one, program.abilities)] for one in orders]

    async def _image(self, order: Order, command: list[str]) -> bytes:
        """One image, by one run. Raises ``Refused``."""
        if self._closed:
            raise _leaving()
        if held_s := self._held_s():
            raise Refused(self._quarantine(), status=503, code="quarantined", retry_s=held_s)
        log = self._log.bind(model=order.model, size=order.size)
        clock = asyncio.get_running_loop().time
        began = clock()
        run = ImageRun(self.name, command, order.sides, log)
        self._runs.append(run)
        log.info("image.started")
        try:
            image = await run.make(self._timeout_s)
        except asyncio.CancelledError:
            log.info("image.stopped", took_s=round(clock() - began, 3))
            raise
        except Refused as refused:
            log.warning("image.failed", error=str(refused))
            raise
        except Failed as failed:
            if self._closed:
                raise _leaving() from failed
            log.warning("image.failed", error=str(failed))
            self._crashed(clock(), str(failed))
            raise Refused(str(failed), status=500, code="engine_failed") from failed
        finally:
            self._runs.remove(run)
        self._restarts = Restarts()
        log.info("image.finished", took_s=round(clock() - began, 3))
        return image

    def _crashed(self, now: float, why: str) -> None:
        before = self._restarts.quarantined
        self._restarts.crashed(now)
        self._last_crash = why
        if self._restarts.quarantined and not before:
            self._log.error("engine.quarantined", error=why)

    def _held_s(self) -> float:
        """Seconds until the next try, in quarantine."""
        return self._restarts.wait_s(asyncio.get_running_loop().time()) if self._restarts.quarantined else 0.0

    def _quarantine(self) -> str:
        return f"{self.name} failed five times in five minutes and is tried every ten. {self._last_crash}"


def _leaving() -> Refused:
    return Refused("This node is about to leave.", status=503, code="leaving", retry_s=1)


async def _body(question: Question) -> bytes:
    body = bytearray()
    async for piece in question.body:
        body += piece
        if len(body) > BODY_MOST:
            raise Refused("A request for images is at most 1 MiB.", status=413, code="too_large")
    return bytes(body)
