"""The doors of llm: chat and completion in Ollama's and OpenAI's dialect. Knows no engine and no node."""

import time
from collections.abc import Callable
from functools import partial

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.types import HTTPScope

from app.dialects import error_body
from app.fleet.job import Job
from app.modalities.http import Corridor, Entrance
from app.modalities.llm import adapter
from app.modalities.llm.settings import LanguageModels

YES = (b"true", b"1", b"yes")


class Chat(Controller):
    @post(
        ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"],
        status_code=200,
        summary="Chat or complete, on the best node",
    )
    async def ask(
        self,
        request: Request[None, None, State],
        entrance: NamedDependency[Entrance],
    ) -> Corridor:
        endpoint = request.scope["path"]
        read = _reader(request.scope, endpoint, entrance.request_id(), entrance.settings("llm"))
        return entrance.corridor(read, partial(error_body, endpoint))


def _reader(scope: HTTPScope, endpoint: str, request_id: str, settings: LanguageModels) -> Callable[[bytes], Job]:
    """What makes a job of the body, with what the request's head says about the client."""
    client = scope.get("client")

    def job(body: bytes) -> Job:
        heads = dict(scope["headers"])
        return adapter.job(
            endpoint,
            body,
            request_id=request_id,
            client=client[0] if client else "",
            user_agent=heads.get(b"user-agent", b"")[:200].decode("latin-1"),
            tag_header=heads.get(b"x-herd-tags", b"").decode("latin-1"),
            may_substitute=heads.get(b"x-fleet-no-fallback", b"").strip().lower() not in YES,
            settings=settings,
            clock=time.time,
            timer=time.monotonic,
        )

    return job
