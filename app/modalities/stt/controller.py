"""The doors of stt: /api/transcribe, /v1/audio/transcriptions. 501 until it serves; knows no engine."""

from litestar import Controller, Request, Response, post
from litestar.datastructures import State

from app.modalities.unserved import not_served


class Speech(Controller):
    @post(["/api/transcribe", "/v1/audio/transcriptions"], status_code=501)
    async def ask(self, request: Request[None, None, State]) -> Response[bytes]:
        return not_served(request.url.path, "Transcriptions")
