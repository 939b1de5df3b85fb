"""The pages say what the code does: each endpoint, error, event and setting has its line, and each line its thing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import architecture_rules as rules
import pytest
from architecture_rules import ROOT
from test_architecture import LAW

from app import errors
from app.api.trust import AdminKey
from app.fleet.registry import ChangeKind
from app.main import create_router
from app.settings.describe import knobs_of
from app.settings.schema import Settings
from app.store.database import migrate
from app.store.store import Store
from node.settings import NodeSettings

DOCS = ROOT / "docs"
PAGES = [path for path, _ in rules.texts() if path.endswith(".md")]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def rows(text: str) -> set[str]:
    """What stands in backticks in the first cell of each row of a page's tables."""
    return {name for line in text.splitlines() if line.startswith("| `") for name in _cells(line)}


def _cells(line: str) -> list[str]:
    return re.findall(r"`([^`]+)`", line.split(" | ")[0])


async def endpoints(folder: Path) -> set[str]:
    migrate(folder)
    store = await Store.open(folder)
    try:
        router = await create_router(Settings(), store, AdminKey("x"), list)
    finally:
        await store.aclose()
    return {
        f"{method} {route.path_format}"
        for route in router.app._app.routes  # type: ignore[attr-defined]
        for method in route.methods - {"OPTIONS"}
        if not route.path.startswith("/schema/{")
    }


async def test_every_endpoint_has_its_line(tmp_path: Path) -> None:
    here, told = await endpoints(tmp_path), {row for row in rows(page("api.md")) if re.match(r"[A-Z]+ /", row)}
    assert not here - told, "give each a row in docs/api.md"
    assert not {row for row in told - here if "/engines/" not in row and not row.endswith("/health")}, "nobody answers"


def kinds_of(root: type[errors.HerdError]) -> Iterator[type[errors.HerdError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds_of(kind)


@pytest.mark.parametrize("kind", dict.fromkeys(kinds_of(errors.HerdError)), ids=lambda kind: kind.__name__)
def test_every_error_has_its_line_and_its_place_in_the_tree(kind: type[errors.HerdError]) -> None:
    status = "4xx" if kind is errors.EngineRejected else str(kind.status)
    assert f"| `{kind.__name__}` | {status} | `{kind.code}` |" in page("api.md")
    assert re.search(rf"^ *{kind.__name__}\b", errors.__doc__ or "", re.MULTILINE)


def events() -> dict[str, str]:
    """Every log event of the code, with the place where it is written first."""
    found = {}
    for source in rules.sources("app", "node"):
        for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and node.args):
            function = call.func
            level = function.attr if isinstance(function, ast.Attribute) else ""
            chosen = isinstance(function, ast.Name) and function.id == "write"  # the level is the event's own matter
            first = call.args[0]
            if (level in LEVELS or chosen) and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.setdefault(first.value, source.at(call, "event"))
    return found | dict.fromkeys(get_args(ChangeKind), "app/fleet/registry.py")


def test_every_event_is_a_noun_and_a_verb_and_has_its_line() -> None:
    here, told = events(), rows(page("logs.md"))
    assert len(here) > 50
    assert not {f"{place} {event}" for event, place in here.items() if not re.fullmatch(r"[a-z]+\.[a-z_]+", event)}
    assert not {f"{place} {event}" for event, place in here.items() if event not in told}, "give it a row in logs.md"
    assert not {event for event in told if re.fullmatch(r"[a-z]+\.[a-z_]+", event)} - here.keys() - {"library.warned"}


def test_every_setting_of_a_node_has_a_meaning_and_its_line() -> None:
    for knob in knobs_of(NodeSettings, prefix="FLEET_NODE_"):
        assert knob.meaning.endswith("."), knob.name
        assert f"| `{knob.flag}` | `{knob.variable}` |" in page("settings.md")


def links(text: str) -> set[str]:
    """What a page links to within the tree: no web address."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return {link for link in found if not re.match(r"[a-z]+:", link)}


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES)
def test_every_link_leads_somewhere(path: str) -> None:
    for link in links((ROOT / path).read_text("utf-8")):
        file, _, anchor = link.partition("#")
        target = (ROOT / path).parent / file if file else ROOT / path
        assert target.exists(), f"{path} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{path} links to {link}: no such heading"


@pytest.mark.parametrize("path", PAGES)
def test_every_file_that_a_page_names_is_there(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    named = re.findall(r"`((?:app|node|tests|docs)/[\w./-]+)`", text)
    gone = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    assert not gone, f"{path} names files that are gone"


def test_every_page_can_be_reached_from_the_index() -> None:
    linked = {link.partition("#")[0] for link in links(page("index.md"))}
    assert not {file.name for file in DOCS.glob("*.md")} - linked - {"index.md"}


def test_the_plan_has_the_law_that_is_tested() -> None:
    section = page("architecture.md").partition("## The law")[2].partition("\n## ")[0]
    told = {
        room: {f"app.{name}".replace("app.node.", "node.") for name in re.findall(r"`([\w.]+)`", line.split(" | ")[1])}
        for line in section.splitlines()
        if line.startswith("| `app.")
        for room in _cells(line)
    }
    law = {room: set(allowed) for room, allowed in LAW.items() if room.startswith("app.") and room != "app.demo"}
    assert {room: told.get(room) for room in law} == law
