"""The web door as a whole: PAGES (the navigation, in order), and what ``app/main.py`` mounts. Knows no page's content.

``main`` needs from here: ``routers(live)`` as route handlers, and ``template_config()`` as the app's one.
It makes the ``Live`` with ``live(take_snapshot, take_traces)``, starts ``Live.run()`` in its task group and calls
``Live.stop()`` before the server waits for its connections to end.
"""

from collections.abc import Sequence

from litestar import Controller, Router
from litestar.di import Provide
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from app.web import assets, view
from app.web.doors.benchmarks import BENCHMARKS, BenchmarksPage
from app.web.doors.health import HEALTH, HealthApi, HealthPage
from app.web.doors.insights import APPS, MODELS, TRENDS, AppsPage, ModelsPage, TrendsPage
from app.web.doors.overview import OVERVIEW, OverviewController
from app.web.doors.policies import PoliciesApi, PoliciesPage
from app.web.doors.recommendations import RECOMMENDATIONS, ModelsApi, RecommendationsPage
from app.web.doors.requests import REQUESTS, DecisionsApi, RequestsPage
from app.web.doors.settings import SETTINGS, SettingsApi, SettingsPage
from app.web.doors.usage import UsageApi
from app.web.live import Live, TakeSnapshot, TakeTraces
from app.web.view import NavItem

PAGES = (OVERVIEW, REQUESTS, TRENDS, MODELS, APPS, BENCHMARKS, HEALTH, RECOMMENDATIONS, SETTINGS)


def live(take_snapshot: TakeSnapshot, take_traces: TakeTraces) -> Live:
    """``take_traces`` gives the last requests, newest first; it is asked once a second while somebody watches."""
    return Live(take_snapshot, take_traces, view.environment())


HANDLERS = (
    OverviewController, RequestsPage, DecisionsApi, TrendsPage, ModelsPage, AppsPage, UsageApi, BenchmarksPage,
    HealthPage, HealthApi, RecommendationsPage, ModelsApi,
    PoliciesPage, PoliciesApi, SettingsPage, SettingsApi,
)  # fmt: skip


def routers(live: Live, handlers: Sequence[type[Controller]] = HANDLERS) -> list[Router]:
    """Everything below ``/dashboard`` that is a page or belongs to one, ``/static`` and ``/favicon.ico``."""

    def the_live() -> Live:
        return live

    def the_nav() -> tuple[NavItem, ...]:
        return PAGES

    pages = Router(
        "/",
        route_handlers=list(handlers),
        dependencies={"live": Provide(the_live, sync_to_thread=False), "nav": Provide(the_nav, sync_to_thread=False)},
    )
    return [pages, assets.router()]


def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    return view.template_config()
