"""Who may ask: names the router may be called by, pages that may call it, the admin's key. Pure; knows no HTTP.

The threat is a web page in the browser of somebody on the LAN: it can send simple requests anywhere, and by DNS
rebinding it can make its own name point at the router. Programs that are not browsers send neither ``Origin`` nor
``Sec-Fetch-Site`` and are not affected.
"""

import hashlib
import hmac
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

LOCAL_SUFFIXES = (".local", ".lan", ".home", ".home.arpa", ".internal", ".localhost", ".ts.net")
APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
COOKIE = "herd_admin"


def host_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a Host header may name this router: an address, a local name, or one the operator listed."""
    name = host_name(host)
    if not name:
        return False
    if is_address(name) or name == "localhost" or "." not in name:
        return True
    return name.endswith(LOCAL_SUFFIXES) or name in names


def origin_allowed(origin: str, site: str, host: str, origins: Collection[str], *, inference: bool) -> bool:
    """Whether a browser's page may send a request that has effects; for ``inference`` local pages and apps may too."""
    if origin:
        if origin.rstrip("/").lower() in origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.netloc and parts.netloc.lower() == host.lower() and parts.scheme in ("http", "https"):
            return site in ("", "same-origin", "none")
        if not inference:
            return False
        return parts.scheme in APP_SCHEMES or parts.hostname in ("localhost", "127.0.0.1", "::1")
    return site in ("", "same-origin", "none")


def host_name(host: str) -> str:
    """The name in a Host header, without its port, lower-case; empty when it is no such thing."""
    if not host or any(c in host for c in " /\\@?#,\t\r\n"):
        return ""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).rstrip(".").lower()


def is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


class AdminKey:
    """The token that changes of state need. A browser holds a proof derived from it, not the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.proof = hmac.new(self._token, b"herd admin cookie", hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token)

    def proves(self, cookie: str) -> bool:
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self.proof.encode())


class Admin:
    """Stands in a handler's signature where only the administrator may go."""
