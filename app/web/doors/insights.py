"""The doors of Trends, Model Insights and Apps: pages over the sums of usage. Knows no table."""

from collections.abc import Sequence
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from app.store.store import Store
from app.store.usage import Use, added, added_by, used
from app.web import insights
from app.web.doors.spans import span_of_page
from app.web.insights import Figure
from app.web.ranges import CHOICES, Range
from app.web.view import NavItem, count, page

TRENDS = NavItem(name="trends", title="Trends", path="/dashboard/trends")
MODELS = NavItem(name="models", title="Model Insights", path="/dashboard/models")
APPS = NavItem(name="apps", title="Apps", path="/dashboard/apps")


class TrendsPage(Controller):
    path = "/dashboard/trends"
    include_in_schema = False
    dependencies = {"span": span_of_page("72h")}  # noqa: RUF012 - Litestar's own form

    @get("/")
    async def show(
        self,
        store: NamedDependency[Store],
        nav: NamedDependency[tuple[NavItem, ...]],
        span: NamedDependency[Range],
        modality: FromQuery[str] = "",
    ) -> Template:
        uses = await used(store, "bucket", "modality", start=span.start, end=span.end, bucket_s=span.bucket_s)
        kinds = sorted({use.modality for use in uses if use.modality})
        only: dict[str, Any] = {"modality": modality} if modality else {}
        wanted = [use for use in uses if modality in ("", use.modality)]
        return page(
            TRENDS, nav, range=span, choices=CHOICES, modality=modality,
            kinds=kinds, figures=insights.figures(_total(wanted), span, **only),
            charts=insights.charts(added_by(wanted, "bucket"), span),
        )  # fmt: skip


class ModelsPage(Controller):
    path = "/dashboard/models"
    include_in_schema = False
    dependencies = {"span": span_of_page("7d")}  # noqa: RUF012 - Litestar's own form

    @get("/")
    async def show(
        self,
        store: NamedDependency[Store],
        nav: NamedDependency[tuple[NavItem, ...]],
        span: NamedDependency[Range],
        model: FromQuery[str] = "",
    ) -> Template:
        uses = await used(store, "model", "modality", start=span.start, end=span.end)
        rows = insights.rows(uses, span, by="model", selected=model)
        chosen_model = model or (rows[0].name if rows else "")
        days = await used(
            store, "bucket", "node_id", start=span.start, end=span.end, bucket_s=span.bucket_s, model=chosen_model
        )  # fmt: skip
        first = [Figure(label="Models", text=count(len({use.model for use in uses})))]
        return page(
            MODELS, nav, range=span, choices=CHOICES, rows=rows, model=chosen_model,
            figures=insights.figures(_total(uses), span, first=first),
            slowest=insights.latency_bars(rows), largest=insights.token_bars(rows),
            charts=insights.charts(added_by(days, "bucket"), span),
            nodes=insights.rows(added_by(days, "node_id"), span, by="node_id"),
        )  # fmt: skip


class AppsPage(Controller):
    path = "/dashboard"
    include_in_schema = False
    dependencies = {"span": span_of_page("7d")}  # noqa: RUF012 - Litestar's own form

    @get(["/apps", "/tags"])
    async def show(
        self,
        store: NamedDependency[Store],
        nav: NamedDependency[tuple[NavItem, ...]],
        span: NamedDependency[Range],
        tag: FromQuery[str] = "",
    ) -> Template:
        rows = insights.rows(await used(store, "tag", start=span.start, end=span.end), span, by="tag", selected=tag)
        one = tag or (rows[0].name if rows else "")
        daily = await used(store, "bucket", "tag", start=span.start, end=span.end, bucket_s=span.bucket_s)
        mine = [use for use in daily if use.tag == one]
        return page(
            APPS, nav, range=span, choices=CHOICES, rows=rows, tag=one,
            figures=_app_figures(rows), busiest=insights.request_bars(rows),
            activity=insights.activity(daily, span, [row.name for row in rows]), charts=insights.charts(mine, span),
        )  # fmt: skip


def _total(uses: Sequence[Use]) -> Use | None:
    return added(uses) if uses else None


def _app_figures(rows: Sequence[insights.Row]) -> tuple[Figure, ...]:
    tagged = sum(row.use.requests for row in rows)
    return (
        Figure(label="Tagged requests", text=count(tagged), small="one counts for each of its tags"),
        Figure(label="Tags", text=count(len(rows))),
        Figure(label="Busiest", text=rows[0].name if rows else "–", href=rows[0].href if rows else ""),
    )
