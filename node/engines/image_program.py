"""One program of an image tool: what it says it can do, asked by ``--help`` until it has told. Knows no order."""

import asyncio
from pathlib import Path

from node.engines.command import outcome, run
from node.engines.command_child import STDOUT
from node.engines.image_tool import Abilities, ImageTool, abilities_of, last_line
from node.engines.process import Child

HELP_BUDGET_S = 60.0
"""The tools load half of their libraries before they print their help; from a cold disk that takes its time."""
HELP_AGAIN_S = 600.0
MISSING_AGAIN_S = 60.0


class Program:
    """``abilities`` is None until it has told them; then they stay, for a new installation is a new engine.

    ``trouble`` says in a sentence why there are none.
    """

    def __init__(self, tool: ImageTool, path: Path) -> None:
        self.path = path
        self.abilities: Abilities | None = None
        self.trouble = f"{path} is being asked what it can do."
        self._tool = tool
        self._asked: Child | None = None
        self._asked_at = 0.0
        self._ask_at = 0.0

    async def tend(self, wait_s: float = 0.0) -> None:
        """Ask it when it is time, and hear what it said; ``wait_s`` is how long to wait for that."""
        now = asyncio.get_running_loop().time()
        if self._asked is None and self.abilities is None and now >= self._ask_at:
            await self._ask(now)
        if self._asked is not None:
            await self._hear(self._asked, wait_s)

    async def aclose(self) -> None:
        self._ask_at = float("inf")
        asked, self._asked = self._asked, None
        if asked is not None:
            await asked.stop()

    async def _ask(self, now: float) -> None:
        missing = await asyncio.to_thread(self._tool.missing, self.path)
        self._ask_at = now + (MISSING_AGAIN_S if missing else HELP_AGAIN_S)
        if missing:
            self.trouble = missing
            return
        try:
            self._asked = await run([str(self.path), "--help"], STDOUT, COLUMNS="200")
            self._asked_at = now
        except OSError as error:
            self.trouble = f"{self.path} cannot be asked: {error}."

    async def _hear(self, asked: Child, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                code, said = outcome(await asked.output())
        except TimeoutError:
            if asyncio.get_running_loop().time() - self._asked_at < HELP_BUDGET_S:
                return
            self.trouble = f"{self.path} --help did not end within {HELP_BUDGET_S:g} s."
        else:
            if code == 0:
                self.abilities, self.trouble = abilities_of(said.decode("utf-8", "replace")), ""
            else:
                self.trouble = f"{self.path} --help failed: {last_line(asked.tail) or f'exit code {code}'}"
        self._asked = None
        await asked.stop()
