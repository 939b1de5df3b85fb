"""The files that pages need besides themselves: styles, scripts, fonts, icons, all from this folder. Knows no page.

They are read once, so no request can name a file that is not one of them. A path with a fingerprint (``?v=`` the right
sum, or a versioned vendor folder) never changes and may be kept for ever; every other one is asked about again.
"""

import hashlib
from functools import cache
from pathlib import Path

import msgspec
from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".toml": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    """One file: its path below ``static``, its bytes, its media type, the first half of its SHA-256."""

    path: str
    content: bytes
    media_type: str
    sum: str


@cache
def assets() -> dict[str, Asset]:
    found = {}
    for file in sorted(STATIC.rglob("*")):
        if file.is_file() and file.suffix in TYPES:
            path, content = file.relative_to(STATIC).as_posix(), file.read_bytes()
            found[path] = Asset(path, content, TYPES[file.suffix], hashlib.sha256(content).hexdigest()[:16])
    return found


def asset_url(path: str) -> str:
    """The address of a file, with its fingerprint unless its folder is one. An unknown path is a ``KeyError``."""
    asset = assets()[path]
    return f"/static/{path}" if path.startswith("vendor/") else f"/static/{path}?v={asset.sum}"


def answer(request: Request, path: str) -> Response[bytes]:  # type: ignore[type-arg]
    """The file, or 304 if the reader has it. Icons stand on pages of this router only, hence the policy."""
    asset = assets().get(path.lstrip("/"))
    if asset is None:
        raise NotFoundException(f"no file {path!r}")
    known = path.lstrip("/").startswith("vendor/") or request.query_params.get("v") == asset.sum
    headers = {
        "cache-control": FOR_EVER if known else "no-cache",
        "etag": f'"{asset.sum}"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(b"", status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@get("/static/{path:path}", sync_to_thread=False)
def static_file(request: Request, path: FromPath[str]) -> Response[bytes]:  # type: ignore[type-arg]
    return answer(request, path)


@get("/favicon.ico", sync_to_thread=False)
def favicon(request: Request) -> Response[bytes]:  # type: ignore[type-arg]
    return answer(request, "favicon.svg")


def router() -> Router:
    return Router("/", route_handlers=[static_file, favicon], include_in_schema=False)
