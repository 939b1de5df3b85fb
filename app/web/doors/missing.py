"""What a person sees where a page should have been: an error as a page of the frame. Knows no page and no node."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from app.errors import HerdError
from app.web.view import NavItem, page

ERROR = NavItem(name="error", title="Not here", path="")
DATA = ("/dashboard/api/", "/dashboard/events")


def for_people(handlers: ExceptionHandlersMap, nav: tuple[NavItem, ...]) -> ExceptionHandlersMap:
    """The same handlers, but who looks at a page with a browser gets a page; programs get what they got before."""
    return {kind: _shown(handler, nav) for kind, handler in handlers.items()}


def _shown(handler: Callable[..., Any], nav: tuple[NavItem, ...]) -> Callable[..., Any]:
    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        plain: Response[Any] = handler(request, error)
        if not _looks(request):
            return plain
        status = plain.status_code or 500
        shown = page(ERROR, nav, status=status, title=_title(status), words=_words(error))
        shown.status_code = status
        return shown

    return answer


def _looks(request: Request[Any, Any, Any]) -> bool:
    path = f"{request.scope['path']}/"
    return (
        path.startswith("/dashboard/")
        and not path.startswith(DATA)
        and MediaType.HTML.value in request.headers.get("accept", "")
    )


def _title(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "There is nothing here"
    return (
        "This page cannot be shown as it was asked for"
        if status < HTTPStatus.INTERNAL_SERVER_ERROR
        else "This page broke"
    )


def _words(error: Exception) -> str:
    """What was said of it on purpose; the framework's bare words teach nobody."""
    said = error.detail if isinstance(error, HTTPException) else str(error) if isinstance(error, HerdError) else ""
    bare = {status.phrase for status in HTTPStatus}
    return "" if said in bare else said
