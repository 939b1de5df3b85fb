"""The doors of Health: the page and its JSON twin, both of one report. Knows no check and no table."""

from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.response import Template

from app.web import health
from app.web.checkup import Checkup
from app.web.view import NavItem, page

HEALTH = NavItem(name="health", title="Health", path="/dashboard/health")


class HealthPage(Controller):
    path = "/dashboard"
    include_in_schema = False

    @get("/health")
    async def show(self, checkup: NamedDependency[Checkup], nav: NamedDependency[tuple[NavItem, ...]]) -> Template:
        return page(HEALTH, nav, it=health.view(await checkup.look()))


class HealthApi(Controller):
    path = "/dashboard/api"

    @get("/health", summary="What is wrong with the fleet, and what to do about it")
    async def told(self, checkup: NamedDependency[Checkup]) -> dict[str, Any]:
        return health.twin(await checkup.look())
