"""The JSON of usage: /dashboard/api/trends, models, usage, apps and tags. Knows no template."""

import math
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency

from app.store.store import Store
from app.store.usage import used
from app.web import usage_rows
from app.web.doors.spans import span_of_days, span_of_hours
from app.web.ranges import Range

DAY_S = 86400.0


class UsageApi(Controller):
    path = "/dashboard/api"
    dependencies = {"span": span_of_days(7)}  # noqa: RUF012 - Litestar's own form

    @get("/trends", summary="Requests, latency and tokens by the hour", dependencies={"span": span_of_hours(72)})
    async def trends(
        self,
        store: NamedDependency[Store],
        span: NamedDependency[Range],
    ) -> dict[str, Any]:
        uses = await used(store, "bucket", start=span.start, end=span.end)
        return {"hours": _whole(span.hours), "data": [usage_rows.hour_row(use) for use in uses]}

    @get("/models", summary="Usage of each model: by the day, and over all time")
    async def models(
        self,
        store: NamedDependency[Store],
        span: NamedDependency[Range],
    ) -> dict[str, Any]:
        daily = await used(store, "model", "bucket", start=span.start, end=span.end, bucket_s=DAY_S)
        total = await used(store, "model")
        return {
            "days": _whole(span.days),
            "daily": [usage_rows.model_day_row(use) for use in daily],
            "summary": [usage_rows.model_row(use) for use in sorted(total, key=lambda use: -use.requests)],
        }

    @get("/usage", summary="Usage of each node and model by the day")
    async def usage(self, store: NamedDependency[Store], span: NamedDependency[Range]) -> dict[str, Any]:
        uses = await used(store, "bucket", "node_id", "model", start=span.start, end=span.end, bucket_s=DAY_S)
        uses.sort(key=lambda use: (-use.bucket, use.node_id, use.model))
        return {"days": _whole(span.days), "data": [usage_rows.node_row(use) for use in uses]}

    @get(["/apps", "/tags"], summary="Usage of each tag: of the last days, and over all time")
    async def apps(
        self,
        store: NamedDependency[Store],
        span: NamedDependency[Range],
    ) -> dict[str, Any]:
        lately = await used(store, "tag", start=span.start, end=span.end)
        total = await used(store, "tag")
        return {
            "days": _whole(span.days),
            "data": [usage_rows.tag_row(use) for use in sorted(lately, key=lambda use: -use.requests)],
            "summary": [usage_rows.tag_total_row(use) for use in sorted(total, key=lambda use: -use.requests)],
        }

    @get(["/apps/daily", "/tags/daily"], summary="Usage of each tag by the day")
    async def apps_daily(
        self,
        store: NamedDependency[Store],
        span: NamedDependency[Range],
    ) -> dict[str, Any]:
        uses = await used(store, "bucket", "tag", start=span.start, end=span.end, bucket_s=DAY_S)
        return {"days": _whole(span.days), "data": [usage_rows.tag_day_row(use) for use in uses]}


def _whole(number: float) -> float | int:
    rounded = round(number, 3)
    return int(rounded) if math.isclose(rounded, round(rounded)) else rounded
