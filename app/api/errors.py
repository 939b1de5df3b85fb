"""Errors in the caller's dialect, by the path: ``/v1/*`` is OpenAI's, everything else Ollama's. Knows no node."""

import msgspec
import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from app.errors import HerdError


def body_for(path: str, error: HerdError) -> bytes:
    """The whole body of an error answer."""
    if path.startswith("/v1/"):
        return msgspec.json.encode({"error": {"message": error.text, "type": error.code, "code": error.code}})
    return msgspec.json.encode({"error": error.text})


def herd_error(request: Request[None, None, State], error: HerdError) -> Response[bytes]:
    lines = {} if error.retry_after_s is None else {"Retry-After": str(max(1, int(error.retry_after_s)))}
    return Response(
        body_for(request.url.path, error), status_code=error.status, media_type="application/json", headers=lines
    )


def framework_error(request: Request[None, None, State], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses: an unknown path, a method, a parameter."""
    plain = HerdError(error.detail or "refused")
    plain.status = error.status_code
    plain.code = "invalid_request_error" if error.status_code < 500 else "server_error"
    lines = {key: value for key, value in (error.headers or {}).items() if key.lower() == "allow"}
    return Response(
        body_for(request.url.path, plain), status_code=plain.status, media_type="application/json", headers=lines
    )


def unforeseen(request: Request[None, None, State], error: Exception) -> Response[bytes]:
    """A fault of ours: logged whole, told without its inside."""
    structlog.get_logger("api").error("request.crashed", path=request.url.path, exc_info=error)
    return Response(
        body_for(request.url.path, HerdError("internal error")), status_code=500, media_type="application/json"
    )


HANDLERS: ExceptionHandlersMap = {HerdError: herd_error, HTTPException: framework_error, Exception: unforeseen}
