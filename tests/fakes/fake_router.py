"""A router that only hears heartbeats: says who it is and answers as it is told. Knows no product code.

    async with FakeRouter() as fake:
        fake.beats                      every heartbeat's body as a dict; ``await fake.heard(2)`` waits for the second
        fake.tokens                     what each showed as its bearer token
        fake.ack["node_status"] = "draining"
        fake.status = 202               what /heartbeat answers from now on; ``fake.fleet_id`` is who it claims to be
Everything of scripted.py works here too: ``refuse``, ``accept``, ``script("/heartbeat", hang())``.
"""

import asyncio
from typing import Any

from fakes.scripted import Answer, Request, ScriptedServer, failing, replying


class FakeRouter(ScriptedServer):
    """``token`` is handed over with each accepted heartbeat that shows none."""

    def __init__(self, *, fleet_id: str = "fleet-a", host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self.fleet_id = fleet_id
        self.status = 200
        self.token = "token-of-" + fleet_id
        self.ack: dict[str, Any] = {"interval_s": 0.1}
        self.error = "refused"
        self.beats: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self._news = asyncio.Event()

    async def heard(self, count: int, timeout_s: float = 10) -> dict[str, Any]:
        """The ``count``-th heartbeat since the start, once it is there."""
        async with asyncio.timeout(timeout_s):
            while len(self.beats) < count:
                self._news.clear()
                await self._news.wait()
        return self.beats[count - 1]

    def respond(self, request: Request) -> Answer:
        if request.path == "/healthz":
            return replying({"status": "ok", "fleet_id": self.fleet_id, "version": "9"})
        if request.path != "/heartbeat" or request.method != "POST":
            return failing(404, b'{"error":"not found"}')
        shown = (request.header("authorization") or "").removeprefix("Bearer ")
        self.beats.append(request.json())
        self.tokens.append(shown)
        self._news.set()
        if self.status >= 400:
            return replying({"error": self.error}, self.status)
        words = {"status": "waiting" if self.status == 202 else "ok", "fleet_id": self.fleet_id, **self.ack}
        if self.status == 200 and not shown:
            words["token"] = self.token
        return replying(words, self.status)
