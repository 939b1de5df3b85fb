"""Where an engine stands: its URL made uniform, its name, and whether it is on this machine. Knows no HTTP client."""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

import msgspec

OLLAMA_PORT = 11434
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
_FLAG = re.compile(r"(?:(?P<kind>[^=:/]+):(?!//))?(?:(?P<name>(?:(?!://)[^=])*)=)?(?P<url>.*)", re.DOTALL)
KINDS = ("llm", "embed", "image", "stt", "rerank")
"""What a server can be for, in the words that its models carry; its owner says so where asking cannot tell."""
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


class Address(msgspec.Struct, frozen=True):
    """An engine's address. ``path`` has no slash at its end; ``url`` is what requests are sent to."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    def here(self, lan_addresses: Iterable[str]) -> bool:
        """Whether the host is this machine, as far as its addresses tell."""
        return self.loopback or self.host in set(lan_addresses)

    def same(self, lan_addresses: Iterable[str]) -> tuple[str, int, str]:
        """Equal for two addresses of one engine."""
        return ("" if self.here(lan_addresses) else self.host, self.port, self.path)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(told: str, *, default_port: int | None = None) -> Address:
    """``http://host:port/path``, or as Ollama's own setting allows ``host``, ``host:port`` and ``:port``.

    "All addresses" (0.0.0.0) is asked on the loopback; a path's trailing ``/v1`` is left out, because callers add it.
    Raises ``ValueError`` with a sentence for people.
    """
    value = told.strip()
    split = _split(value if "://" in value else f"http://{value}", told)
    if split.scheme not in ("http", "https"):
        raise ValueError(f"{told!r} is not the address of an engine: it must begin with http:// or https://.")
    if split.username or split.password or split.query or split.fragment:
        raise ValueError(f"{told!r} is not the address of an engine: only scheme, host, port and path may be given.")
    host = (split.hostname or "").lower() or "127.0.0.1"
    if not _HOST.fullmatch(host):
        raise ValueError(f"{told!r} is not the address of an engine: {host!r} is no host.")
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    port = split.port or ({"http": 80, "https": 443}[split.scheme] if "://" in value else default_port) or default_port
    if not port:
        raise ValueError(f"{told!r} names no port.")
    path = split.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Address(split.scheme, host, port, path)


def _split(url: str, told: str) -> SplitResult:
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError as exc:
        raise ValueError(f"{told!r} is not the address of an engine: {exc}.") from exc
    if any(char.isspace() or not char.isprintable() for char in told.strip()):
        raise ValueError(f"{told!r} is not the address of an engine: it has blanks inside.")
    return split


class Named(msgspec.Struct, frozen=True):
    """What one ``--engine`` flag says. ``name`` and ``kind`` may be "": not told."""

    address: Address
    name: str = ""
    kind: str = ""

    def called(self, lan_addresses: Iterable[str]) -> str:
        """Its name; if none was told one of kind and port, elsewhere of its host too."""
        here = self.address.here(lan_addresses)
        words = ("" if here else self.address.host, self.kind or ("engine" if here else ""), str(self.address.port))
        return self.name or "-".join(filter(None, words))[:40]


def flag(told: str) -> Named:
    """One ``--engine`` flag: a URL, before it perhaps ``NAME=``, before all perhaps ``KIND:``.

    Raises ``ValueError`` with a sentence for people.
    """
    found = _FLAG.fullmatch(told)
    kind, name, url = (found["kind"] or "", found["name"], found["url"]) if found else ("", None, told)
    if kind not in ("", *KINDS) and "://" in url:
        raise ValueError(f"--engine {told!r}: {kind!r} is no kind of engine; there are {', '.join(KINDS)}.")
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(
            f"--engine {told!r}: a name has 1 to 40 of the characters a-z, 0-9, '.', '_' and '-', not {name!r}."
        )
    if not url.strip():
        raise ValueError(f"--engine {told!r}: say the engine's address, as in NAME=http://127.0.0.1:8080.")
    if "://" not in url:
        raise ValueError(f"--engine {told!r}: the address must begin with http:// or https://.")
    return Named(address_of(url), name or "", kind)
