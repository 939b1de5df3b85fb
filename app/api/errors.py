"""What becomes of an error that a handler raises: its status, its headers, its body by the path. Knows no node."""

import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from app.dialects import error_body
from app.errors import HerdError


def herd_error(request: Request[None, None, State], error: HerdError) -> Response[bytes]:
    lines = {} if error.retry_after_s is None else {"Retry-After": str(max(1, int(error.retry_after_s)))}
    return Response(
        error_body(request.url.path, error), status_code=error.status, media_type="application/json", headers=lines
    )


def framework_error(request: Request[None, None, State], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses: an unknown path, a method, a parameter."""
    plain = HerdError(error.detail or "refused")
    plain.status = error.status_code
    plain.code = "invalid_request_error" if error.status_code < 500 else "server_error"
    lines = {key: value for key, value in (error.headers or {}).items() if key.lower() == "allow"}
    return Response(
        error_body(request.url.path, plain), status_code=plain.status, media_type="application/json", headers=lines
    )


def unforeseen(request: Request[None, None, State], error: Exception) -> Response[bytes]:
    """A fault of ours: logged whole, told without its inside."""
    structlog.get_logger("api").error("request.crashed", path=request.url.path, exc_info=error)
    return Response(
        error_body(request.url.path, HerdError("internal error")), status_code=500, media_type="application/json"
    )


HANDLERS: ExceptionHandlersMap = {HerdError: herd_error, HTTPException: framework_error, Exception: unforeseen}
