"""The doors of Settings: the page, its JSON twin, and what changes a setting. Knows no setting's meaning."""

import platform
from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from app.errors import BodyInvalid, NotFound, SettingLocked
from app.fleet.policies import Policies
from app.fleet.usage import recommended
from app.scoring.policy import PolicyInvalid
from app.settings.book import Book
from app.settings.reach import OUTSIDE
from app.settings.resolve import SettingInvalid, merged, sections, value_of, with_value
from app.settings.weights import knobs
from app.store import context_queries
from app.store.store import Store
from app.web import settings as views
from app.web.checkup import Checkup
from app.web.doors.hands import Hand
from app.web.view import NavItem, page
from node.wire import model_key

SETTINGS = NavItem(name="settings", title="Settings", path="/dashboard/settings")
SHOWN_CHANGES = 50


class SettingsPage(Controller):
    path = "/dashboard"
    include_in_schema = False

    @get("/settings")
    async def show(
        self,
        book: NamedDependency[Book],
        checkup: NamedDependency[Checkup],
        policies: NamedDependency[Policies],
        take_snapshot: NamedDependency[Any],
        nav: NamedDependency[tuple[NavItem, ...]],
    ) -> Template:
        settings, snapshot = book.settings, take_snapshot()
        keys = [key for _, values in sections(settings) for key in values.__dataclass_fields__]
        return page(
            SETTINGS, nav,
            sections=views.section_views(
                settings, {key: book.source(key) for key in keys}, filter(book.locked, keys),
                {change.key for change in book.changes}, {kind.name: kind.title for kind in snapshot.modalities},
            ),
            contexts=views.context_rows(checkup.contexts, value_of(settings, views.OVERRIDES)),
            nodes=views.node_cards(snapshot, checkup.version, hostname()),
            changes=book.changes[:SHOWN_CHANGES], modalities=policies.modalities, version=checkup.version,
            hostname=hostname(), written=views.written,
        )  # fmt: skip


class SettingsApi(Controller):
    path = "/dashboard/api"

    @get("/settings", summary="All settings in groups, and the nodes")
    async def told(
        self, book: NamedDependency[Book], checkup: NamedDependency[Checkup], take_snapshot: NamedDependency[Any]
    ) -> dict[str, Any]:
        return {
            "router_version": checkup.version,
            "router_hostname": hostname(),
            "config": views.config(book.settings, hostname()),
            "nodes": views.public_nodes(take_snapshot(), hostname()),
        }

    @post("/settings", status_code=200, summary="Change settings by their names; what is not named stays (admin)")
    async def change(
        self,
        request: Request[None, None, State],
        book: NamedDependency[Book],
        store: NamedDependency[Store],
        policies: NamedDependency[Policies],
        hand: NamedDependency[Hand],
    ) -> dict[str, Any]:
        """All of them or, if one is refused, none."""
        try:
            wanted = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BodyInvalid('send {"NAME": VALUE}') from None
        if not wanted:
            return {"status": "no_change", "message": "no setting was named"}
        wanted = {key: views.asked_value(key, value) for key, value in wanted.items()}
        _check(book, policies, wanted)
        for key, value in wanted.items():
            await book.change(store, _section(book, key), key, value, by=hand.name)
        policies.retune()
        return {"status": "updated", "updated": {key: value_of(book.settings, key) for key in wanted}}

    @post("/settings/{key:str}/undo", status_code=200, summary="Take back the last change of a setting (admin)")
    async def undo(
        self,
        key: FromPath[str],
        book: NamedDependency[Book],
        store: NamedDependency[Store],
        policies: NamedDependency[Policies],
        hand: NamedDependency[Hand],
    ) -> dict[str, Any]:
        _section(book, key)
        if await book.undo(store, key, by=hand.name) is None:
            raise NotFound(f"{key} was never changed here")
        policies.retune()
        return {"status": "undone", "updated": {key: value_of(book.settings, key)}}

    @post("/settings/{key:str}/reset", status_code=200, summary="Put a setting back to its default (admin)")
    async def reset(
        self,
        key: FromPath[str],
        book: NamedDependency[Book],
        store: NamedDependency[Store],
        policies: NamedDependency[Policies],
        hand: NamedDependency[Hand],
    ) -> dict[str, Any]:
        await book.reset(store, _section(book, key), key, by=hand.name)
        policies.retune()
        return {"status": "reset", "updated": {key: value_of(book.settings, key)}}

    @get("/context-usage", summary="What requests took of each model's context, and what would do")
    async def contexts(
        self,
        book: NamedDependency[Book],
        store: NamedDependency[Store],
        checkup: NamedDependency[Checkup],
        days: FromQuery[int] = 7,
    ) -> dict[str, Any]:
        days = max(1, min(days, 365))
        allocated = checkup.allocated
        said = {model_key(name): tokens for name, tokens in value_of(book.settings, views.OVERRIDES).items()}
        models = []
        for use in await context_queries.context_spreads(store, days=days):
            context = allocated.get(model_key(use.model), 0)
            wanted = recommended(use.total_tokens["p99"], use.total_tokens["max_24h"])
            best = min(wanted, context) if context else wanted
            models.append(
                {
                    "model": use.model, "allocated_ctx": context, "override_ctx": said.get(model_key(use.model)),
                    "request_count": use.request_count, "prompt_tokens": use.prompt_tokens,
                    "total_tokens": use.total_tokens,
                    "utilization_pct": round(use.total_tokens["p99"] / context * 100, 1) if context else 0.0,
                    "recommended_ctx": best,
                    "savings_pct": round((context - best) / context * 100, 1) if context else 0.0,
                }
            )  # fmt: skip
        return {"days": days, "models": models}


def hostname() -> str:
    return platform.node().partition(".")[0]


def _section(book: Book, key: str) -> str:
    section = views.section_of(book.settings, key)
    if section is None:
        raise BodyInvalid(f"there is no setting {key}")
    return section


def _check(book: Book, policies: Policies, wanted: dict[str, Any]) -> None:
    """Whether all of these may be. Raises ``BodyInvalid`` or ``SettingLocked``."""
    settings = book.settings
    for key, value in wanted.items():
        section = _section(book, key)
        if key in OUTSIDE:
            raise SettingLocked(f"{key} is read before the router opens its store", hint="set it by flag or variable")
        try:
            settings = with_value(settings, section, key, merged(settings, section, key, value))
        except SettingInvalid as error:
            raise BodyInvalid(f"{key}: {error}") from error
    try:
        policies.try_knobs(knobs(settings.score))
    except PolicyInvalid as error:
        raise BodyInvalid(f"the policy does not take that: {error}") from error
