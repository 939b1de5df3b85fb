"""The doors of stt: /api/transcribe, /v1/audio/transcriptions. Knows no engine and no node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from app.dialects import error_body
from app.errors import TooLarge
from app.fleet.holders import Holders
from app.fleet.job import Job
from app.modalities.caller import caller_of
from app.modalities.form import received
from app.modalities.http import Entrance, StreamCorridor
from app.modalities.incoming import Incoming
from app.modalities.stt import adapter
from app.modalities.stt.schema import FILES

FIELDS_ROOM = 1024 * 1024
"""What a body may have beside its file, in bytes."""


class Transcriptions(Controller):
    @post(
        [adapter.OLLAMA_PATH, adapter.OPENAI_PATH],
        status_code=200,
        summary="Turn a recording into text, on the best node",
    )
    async def ask(
        self,
        request: Request[None, None, State],
        entrance: NamedDependency[Entrance],
        holders: NamedDependency[Holders],
    ) -> StreamCorridor:
        endpoint, settings = request.scope["path"], entrance.settings("stt")
        caller, request_id = caller_of(request.scope), entrance.request_id()

        @asynccontextmanager
        async def take(body: Incoming) -> AsyncIterator[Job]:
            adapter.judge(settings)
            most = settings.transcription_max_bytes
            if (body.size or 0) > most + FIELDS_ROOM:
                raise TooLarge(f"the file is larger than {most} bytes")
            async with received(
                body.pieces(), body.content_type, files=FILES, most=most, folder=entrance.folder
            ) as form:
                yield adapter.job(
                    endpoint,
                    form,
                    request_id=request_id,
                    caller=caller,
                    settings=settings,
                    known=partial(holders.of_kind, "stt"),
                )

        return entrance.stream_corridor(take, partial(error_body, endpoint))
