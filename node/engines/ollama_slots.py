"""How many requests Ollama serves at once on each loaded model, from whoever knows it. Knows no router.

Asked in this order:
1. the owner's own word (the node's ``--slots``);
2. the runner's command line, matched by the model file's digest, or because there is only one of each;
3. the runner's own ``/slots``, where it answers;
4. ``OLLAMA_NUM_PARALLEL`` of the Ollama process, else of this process;
5. one: Ollama's own default.
"""

import asyncio
import os
from collections.abc import Mapping

import httpx
import msgspec

from node.engines.base import EngineError
from node.engines.http import ask
from node.machine.processes import OllamaProcesses, Runner, num_parallel, ollama_processes

LOOK_BUDGET_S = 1.0
LOOK_AGAIN_S = 30.0
SLOTS_LIMIT = 1024


class Slots(msgspec.Struct, frozen=True):
    """Slots by model name, and of every other model."""

    by_name: Mapping[str, int]
    otherwise: int

    def of(self, name: str) -> int:
        return self.by_name.get(name, self.otherwise)


class OllamaSlots:
    """Looks at the processes only when the set of loaded models changed, and every half minute."""

    def __init__(self, http: httpx.AsyncClient, port: int, *, local: bool, told: int | None) -> None:
        self._http = http
        self._port = port
        self._local = local
        self._told = told
        self._look: asyncio.Future[OllamaProcesses] | None = None
        self._last = Slots({}, told or 1)
        self._loaded: Mapping[str, str] | None = None
        self._look_at = 0.0

    async def read(self, loaded: Mapping[str, str]) -> Slots:
        """The slots, given the loaded models and the digests of their files ("" where not known)."""
        if self._told or not self._local:
            return self._last
        now = asyncio.get_running_loop().time()
        if self._loaded == loaded and now < self._look_at:
            return self._last
        seen = await self._processes()
        if seen is None:
            return self._last
        named = {name: await self._count(runner) for name, runner in matched(loaded, seen.runners).items()}
        counts = {name: count for name, count in named.items() if count}
        self._last = Slots(counts, seen.num_parallel or num_parallel(os.environ) or 1)
        self._loaded, self._look_at = dict(loaded), now + LOOK_AGAIN_S
        return self._last

    async def _processes(self) -> OllamaProcesses | None:
        """One look at a time, in a thread; a look that takes too long is picked up by a later call."""
        if self._look is None:
            self._look = asyncio.get_running_loop().run_in_executor(None, ollama_processes, self._port)
        await asyncio.wait({self._look}, timeout=LOOK_BUDGET_S)
        if not self._look.done():
            return None
        look, self._look = self._look, None
        return look.result() if look.exception() is None else OllamaProcesses()

    async def _count(self, runner: Runner) -> int | None:
        if runner.parallel:
            return min(runner.parallel, SLOTS_LIMIT)
        if not runner.port:
            return None
        try:
            said = await ask(self._http, f"http://127.0.0.1:{runner.port}/slots", timeout_s=0.5)
        except EngineError:
            return None
        listed = said.value if said.status == 200 and isinstance(said.value, list) else []
        return min(len(listed), SLOTS_LIMIT) or None


def matched(loaded: Mapping[str, str], runners: tuple[Runner, ...]) -> dict[str, Runner]:
    """Which runner serves which model: by digest; the last of each without a partner belong together."""
    by_blob = {runner.blob: runner for runner in runners if runner.blob}
    found = {name: by_blob[blob] for name, blob in loaded.items() if blob in by_blob}
    names = [name for name in loaded if name not in found]
    taken = {runner.pid for runner in found.values()}
    left = [runner for runner in runners if runner.pid not in taken]
    if len(names) == 1 and len(left) == 1 and not (loaded[names[0]] and left[0].blob):
        found[names[0]] = left[0]
    return found
