"""Every page as people meet it: wide and narrow, light and dark, by mouse, by keyboard and by a screen reader's rules.

The router is a whole one with a week of history and three nodes; each page of the navigation is looked at by itself.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browsing import CHROMIUM, Visit, chromium
from running import loaded
from shown_fleet import WEEK
from web_house import House, web_house

from app.dev.seed import traces
from app.web.pages import PAGES
from node.wire import Capacity

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)"),
]
CALM = {"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}
WEEK_OF_TRACES = 3000
MODELS = {
    "mac-studio": ("llama3.3:70b", "qwen3:8b", "nomic-embed-text:latest"),
    "gaming-pc": ("qwen3:8b", "qwen2.5-coder:14b"),
    "closet-server": ("llama3.2:3b", "an-organisation-with-a-long-name/a-model-with-a-very-long-name-indeed:q4_k_m"),
}
ONE_REQUEST = "/dashboard/requests/dev0000000000007"
NOWHERE = "/dashboard/nowhere"
PATHS = (*(page.path for page in PAGES), ONE_REQUEST, NOWHERE)
LOOKS = ((390, "light"), (390, "dark"), (1440, "light"), (1440, "dark"))
RULES = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(traces(time.time(), count=WEEK_OF_TRACES), heartbeat=CALM) as house:
        owned = Capacity(mode="learned_high", availability=0.8, ceiling_bytes=2**36, days_observed=9, week=WEEK)
        for name, models in MODELS.items():
            capacity = owned if name == "mac-studio" else None
            house.do(
                lambda router, name=name, models=models, capacity=capacity: router.join(
                    name, FakePort(), *(loaded(model) for model in models), disk_gb=200, capacity=capacity
                )
            )
        yield house


class FakePort:
    """These nodes are looked at, not asked."""

    port = 9


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Any, house: House) -> Iterator[Visit]:
    visit = Visit(browser, house.url)
    yield visit
    assert visit.complaints == []
    assert visit.foreign == []
    visit.close()


def settled(page: Any) -> None:
    """Until charts are drawn and nothing moves: what is half faded has no contrast."""
    if page.locator("[data-live]").count():
        page.wait_for_selector("[data-live=on]")
    plots = page.locator(".plot").count()
    until(page, lambda: page.locator(".plot canvas").count() == plots)
    page.add_style_tag(content="*, *::before, *::after { animation: none !important; transition: none !important }")


def until(page: Any, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


@pytest.mark.parametrize("path", PATHS)
def test_every_page_fits_is_quiet_asks_nobody_else_and_breaks_no_rule_of_access(
    browser: Any, house: House, path: str
) -> None:
    visit = Visit(browser, house.url, bypass_csp=True)  # axe is a script of nobody's origin
    page = visit.open(path)
    settled(page)
    broken: list[str] = []
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        beyond = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        broken += [f"{width} {scheme}: {beyond} px too wide"] if beyond > 0 else []
        for rule in axe.Axe().run(page, options=RULES).response["violations"]:
            broken += [f"{width} {scheme} {rule['id']}: {node['html']}" for node in rule["nodes"]]
    visit.close()
    if path == NOWHERE:
        visit.complaints = [one for one in visit.complaints if "404" not in one]  # the browser's own word about it
    assert broken == []
    assert (visit.complaints, visit.foreign) == ([], [])
