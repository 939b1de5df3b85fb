"""How a struct becomes a page: the template environment, its filters, the headers of every page. Knows no fleet."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from app.web.assets import asset_url

TEMPLATES = Path(__file__).parent / "templates"

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

NOT_KNOWN = "–"


class NavItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the navigation. ``name`` is the template's name without ``.html``."""

    name: str
    title: str
    path: str


def size(value: int | None) -> str:
    """Bytes as people read them, in binary units: ``4.6 GiB``."""
    if value is None:
        return NOT_KNOWN
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1000 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 100 or unit in {"B", "KiB"} else f"{amount:.1f} {unit}"


def seconds(value: float | None) -> str:
    """A duration with three digits at most: ``< 1 ms``, ``12 ms``, ``1.4 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value is None or value < 0:
        return NOT_KNOWN
    if value == 0:
        return "0 s"
    if value < 0.9995:
        return f"{round(value * 1000)} ms" if value >= 0.0005 else "< 1 ms"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def whole_seconds(value: float) -> str:
    """A running duration: it changes once a second and no oftener."""
    return f"{int(value)} s" if value < 60 else seconds(float(int(value)))


def count(value: float | None) -> str:
    """A whole number in groups of three, thin spaces between: ``12 480``."""
    return NOT_KNOWN if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def tokens(value: int | None) -> str:
    """A context length as it is spoken of: ``32K``."""
    if value is None:
        return NOT_KNOWN
    return f"{value // 1024}K" if value >= 1024 else str(value)


def iso(epoch: float) -> str:
    """Unix epoch seconds as ISO 8601 in UTC, for ``<time datetime>``; the reader's own zone is the browser's affair."""
    try:
        return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return ""


def clock(epoch: float) -> str:
    """The time of day in UTC, shown until the browser has put its own zone."""
    text = iso(epoch)
    return f"{text[11:19]} UTC" if text else NOT_KNOWN


def day(epoch: float) -> str:
    """A day in UTC: ``24 Nov``. Days are counted in UTC everywhere."""
    try:
        when = datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OverflowError, OSError):
        return NOT_KNOWN
    return f"{when.day} {when:%b}"


def percent(share: float | None) -> str:
    """A share of one: ``0 %``, ``0.4 %``, ``12 %``."""
    if share is None:
        return NOT_KNOWN
    return f"{share * 100:.1f} %" if 0 < share < 0.0995 else f"{share * 100:.0f} %"


def rate(value: float | None) -> str:
    """Tokens per second: ``7.4``, ``148``."""
    return NOT_KNOWN if value is None else f"{value:.1f}" if value < 99.95 else count(value)


def dom_key(name: str) -> str:
    """A safe element id for any name; two similar names never share one."""
    return base64.b32encode(hashlib.blake2s(name.encode("utf-8", "replace"), digest_size=10).digest()).decode().lower()


def environment() -> Environment:
    """The templates, autoescaped; a name that a template misspells is an error, never a gap on the page."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "size": size, "seconds": seconds, "count": count, "tokens": tokens, "iso": iso, "clock": clock, "day": day,
        "percent": percent, "rate": rate,
    }  # fmt: skip
    env.globals["asset"] = asset_url
    return env


def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment()))


def page(item: NavItem, nav: tuple[NavItem, ...], **context: object) -> Template:
    """The page ``item`` inside the frame that all pages share, with the headers that all pages carry."""
    return Template(
        template_name=f"{item.name}.html",
        context={"page": item, "nav": nav, **context},
        headers={**SECURITY_HEADERS, "cache-control": "no-store"},
        media_type="text/html",
    )
