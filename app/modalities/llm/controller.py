"""The doors of llm: chat and completion in every dialect. Knows no engine and no node."""

import time
from collections.abc import Callable
from functools import partial

import msgspec
from litestar import Controller, Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.types import HTTPScope

from app.dialects import error_body
from app.errors import ModelAbsent
from app.fleet.holders import Holders
from app.fleet.job import Job
from app.modalities.caller import caller_of
from app.modalities.http import Corridor, Entrance
from app.modalities.llm import adapter, aliases
from app.modalities.llm.settings import LanguageModels

YES = (b"true", b"1", b"yes")


class Chat(Controller):
    @post(
        ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions", "/v1/responses"],
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


class Messages(Controller):
    """Anthropic's doors: its clients name models that no fleet has, so a name may stand for another."""

    path = "/v1/messages"

    @post(status_code=200, summary="Chat in Anthropic's dialect, on the best node")
    async def ask(
        self,
        request: Request[None, None, State],
        entrance: NamedDependency[Entrance],
        holders: NamedDependency[Holders],
    ) -> Corridor:
        settings = entrance.settings("llm")
        read = _reader(request.scope, self.path, entrance.request_id(), settings, _meant(settings, holders))
        return entrance.corridor(read, partial(error_body, self.path))

    @post("/count_tokens", status_code=200, summary="Count a prompt's tokens: the engine's word, else an estimate")
    async def count(
        self,
        request: Request[None, None, State],
        entrance: NamedDependency[Entrance],
        holders: NamedDependency[Holders],
    ) -> Response[bytes]:
        body = await entrance.body(request.scope, request.receive)
        asked = adapter.question(body, _meant(entrance.settings("llm"), holders))
        if not holders.know(asked.model):
            raise ModelAbsent(f"model {asked.model} not found on any node")
        counted = await holders.count_tokens(asked.model, request.scope["path"], asked.body)
        return Response(
            msgspec.json.encode({"input_tokens": asked.estimate if counted is None else counted}),
            media_type="application/json",
            headers={"X-Fleet-Tokens": "estimated" if counted is None else "counted"},
        )


def _meant(settings: LanguageModels, holders: Holders) -> Callable[[str], str]:
    return lambda name: aliases.meant(name, settings.anthropic_model_map, holders.know)


def _reader(
    scope: HTTPScope,
    endpoint: str,
    request_id: str,
    settings: LanguageModels,
    meant: Callable[[str], str] = str,
) -> Callable[[bytes], Job]:
    """What makes a job of the body, with what the request's head says about the client."""

    def job(body: bytes) -> Job:
        caller = caller_of(scope)
        return adapter.job(
            endpoint,
            body,
            request_id=request_id,
            client=caller.address,
            user_agent=caller.user_agent,
            tag_header=caller.tags,
            meant=meant,
            may_substitute=caller.headers.get(b"x-fleet-no-fallback", b"").strip().lower() not in YES,
            settings=settings,
            clock=time.time,
            timer=time.monotonic,
        )

    return job
