"""The first thing every request meets: Host, Origin, the key in the base URL, HEAD. Knows no endpoint and no body."""

import re
from collections.abc import Collection
from urllib.parse import unquote

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.api.trust import AdminKey, host_allowed, origin_allowed
from app.dialects import error_body
from app.errors import Forbidden, HerdError, Misdirected, RequestError, Unauthorized

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
INFERENCE = re.compile(r"/(?:v\d+|api)/")
KEEPING = ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/")
"""Below ``/api/``, and no inference: a page elsewhere may not do it unless its origin is listed."""
KEY = "/key/"
ALLOWED_HEADERS = (
    b"authorization, content-type, x-herd-tags, x-api-key, anthropic-version, anthropic-beta, "
    b"anthropic-dangerous-direct-browser-access"
)
REMEMBERED = 1000
"""Host headers whose verdict is kept."""


class Gate:
    """An ASGI application around the application. ``scope["herd_admin"]`` is set when the base URL carried the key."""

    def __init__(self, app: ASGIApp, *, key: AdminKey, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._key = key
        self._hosts = frozenset(name.lower() for name in hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._known_hosts: dict[bytes, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        try:
            passed = self._pass(scope)
        except HerdError as error:
            await refuse(_without_key(scope["path"])[1], error, send)
            return
        origin = self._foreign_page(scope, passed["path"])
        if origin is None:
            await self._app(passed, receive, send)
        elif scope["method"] == "OPTIONS":
            await _preflight(origin, send)
        else:
            await self._app(passed, receive, _naming(origin, send))

    def _foreign_page(self, scope: HTTPScope, path: str) -> bytes | None:
        """The origin of an allowed page elsewhere that asks for inference: its browser wants to be told so (CORS)."""
        for name, value in scope["headers"]:
            if name == b"origin":
                host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
                allowed = INFERENCE.match(path) and origin_allowed(
                    value.decode("latin-1"), "", host, self._origins, inference=infers(path)
                )
                return value if allowed else None
        return None

    def _pass(self, scope: HTTPScope) -> HTTPScope:
        """The scope as the application sees it. Raises the ``HerdError`` that refuses the request."""
        host = origin = site = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    raise RequestError("two Host headers")
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if not self._host_known(host):
            raise Misdirected("this router does not go by that name", hint="FLEET_HOSTS adds names")
        method, path = scope["method"], scope["path"]
        passed = scope
        if path.startswith(KEY):
            passed = self._with_key(scope, path)
            path = passed["path"]
        if (origin is not None or site is not None) and method not in SAFE:
            page, how, called = ((part or b"").decode("latin-1") for part in (origin, site, host))
            if not origin_allowed(page, how, called, self._origins, inference=infers(path)):
                raise Forbidden("a page of another origin may not do this", hint="FLEET_ORIGINS adds origins")
        if method == "HEAD":
            passed = passed.copy()
            passed["method"] = "GET"  # the server drops the body: it looks at its own scope
        return passed

    def _host_known(self, host: bytes | None) -> bool:
        if host is None:
            return False
        verdict = self._known_hosts.get(host)
        if verdict is None:
            if len(self._known_hosts) >= REMEMBERED:
                self._known_hosts.clear()
            verdict = self._known_hosts[host] = host_allowed(host.decode("latin-1"), self._hosts)
        return verdict

    def _with_key(self, scope: HTTPScope, path: str) -> HTTPScope:
        token, rest = _without_key(path)
        if not self._key.opens(unquote(token)):
            raise Unauthorized("the key in the base URL is wrong")
        passed = scope.copy()
        passed["path"] = rest
        passed["raw_path"] = rest.encode("utf-8", "replace")
        passed["herd_admin"] = True  # type: ignore[typeddict-unknown-key]
        return passed


def _without_key(path: str) -> tuple[str, str]:
    """The key in a base URL, and the path behind it."""
    if not path.startswith(KEY):
        return "", path
    token, _, rest = path[len(KEY) :].partition("/")
    return token, "/" + rest


def infers(path: str) -> bool:
    return bool(INFERENCE.match(path)) and not path.startswith(KEEPING)


async def refuse(path: str, error: HerdError, send: Send) -> None:
    body = error_body(path, error)
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _preflight(origin: bytes, send: Send) -> None:
    lines = [
        *_cors(origin),
        (b"access-control-allow-methods", b"GET, POST, HEAD, DELETE, OPTIONS"),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": lines})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _naming(origin: bytes, send: Send) -> Send:
    """``send`` that tells the browser which page may read the answer. No cookies: inference needs none."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_cors(origin)]
        await send(message)

    return named


def _cors(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin),
        (b"vary", b"origin"),
        (b"access-control-expose-headers", b"x-fleet-node, x-fleet-score, x-fleet-retries, x-fleet-fallback"),
    ]
