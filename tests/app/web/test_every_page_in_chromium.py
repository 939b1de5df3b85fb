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
from node.wire import Capacity, Heartbeat

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
PATHS = (*(page.path for page in PAGES), "/dashboard/policies/llm", ONE_REQUEST, NOWHERE)
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
    """Until charts are drawn and what is live has come."""
    if page.locator("[data-live]").count():
        page.wait_for_selector("[data-live=on]")
    plots = page.locator(".plot").count()
    until(page, lambda: page.locator(".plot canvas").count() == plots)


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


def test_a_node_is_drained_and_resumed_from_its_card_by_keyboard(visit: Visit, house: House) -> None:
    page = visit.open(f"/dashboard#admin={house.token}")
    page.locator(".admin-badge").wait_for()
    card = page.get_by_role("article", name="gaming-pc")
    menu = card.locator("summary", has_text="Actions")
    assert menu.get_attribute("aria-label") == "Actions for gaming-pc"
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("gaming-pc gets no new work").wait_for()
    assert menu.evaluate("one => one === document.activeElement")
    card.get_by_text("Draining").wait_for()
    menu.press("Enter")
    card.get_by_role("button", name="Resume gaming-pc").click()
    card.get_by_text("Online").wait_for()


def test_what_a_node_refuses_is_told_in_words(visit: Visit, house: House) -> None:
    page = visit.open(f"/dashboard#admin={house.token}")
    page.locator(".admin-badge").wait_for()
    card = page.get_by_role("article", name="closet-server")
    card.locator("summary", has_text="Actions").click()
    card.get_by_role("button", name="Pause for 8 h closet-server").click()
    page.locator("[data-notice]", has_text="closet-server: ").wait_for()
    card.locator("summary", has_text="Actions").press("Escape")
    assert not card.get_by_role("button", name="Drain closet-server").is_visible()
    visit.complaints.clear()  # the browser's own word about the refusal


def test_an_offline_node_is_forgotten_only_after_a_question(visit: Visit, house: House) -> None:
    gone = Heartbeat(node_id="old-laptop", draining=True, goodbye=True)
    house.do(lambda router: router.join("old-laptop", FakePort()))
    house.do(lambda router: router.beat(gone))
    page = visit.open(f"/dashboard#admin={house.token}")
    page.locator(".admin-badge").wait_for()
    card = page.get_by_role("article", name="old-laptop")
    card.locator("summary").click()
    card.get_by_role("button", name="Forget old-laptop").click()
    dialog = page.get_by_role("dialog")
    assert "Forget old-laptop?" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert card.get_by_role("button", name="Forget old-laptop").evaluate("one => one === document.activeElement")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Forget").click()
    page.get_by_text("old-laptop is forgotten").wait_for()
    card.wait_for(state="detached")


def test_without_the_admin_key_no_page_offers_to_change_a_node(visit: Visit) -> None:
    page = visit.open("/dashboard")
    settled(page)
    assert page.locator(".menu").count() >= 3
    assert page.locator(".menu").first.is_hidden()


def test_a_chart_is_read_by_keyboard_and_its_values_are_spoken(visit: Visit) -> None:
    page = visit.open("/dashboard/trends")
    settled(page)
    plot = page.locator(".plot").first
    plot.focus()
    page.keyboard.press("End")
    said = plot.locator("xpath=..").locator("[data-say]")
    until(page, lambda: said.inner_text() != "")
    last = said.inner_text()
    page.keyboard.press("ArrowLeft")
    until(page, lambda: said.inner_text() not in ("", last))
    page.keyboard.press("Home")
    assert plot.locator(".tip").is_visible()


def test_a_range_and_a_custom_span_change_what_is_shown(visit: Visit) -> None:
    page = visit.open("/dashboard/trends")
    page.get_by_role("link", name="24h", exact=True).click()
    page.wait_for_url("**/trends?range=24h")
    day = page.locator(".figures dd").first.inner_text()
    page.get_by_role("link", name="7d", exact=True).click()
    page.wait_for_url("**/trends?range=7d")
    assert page.locator(".figures dd").first.inner_text() != day
    page.locator("summary", has_text="Custom").click()
    page.get_by_label("From").fill(time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() - 48 * 3600)))
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**start_ts=*end_ts=*")
    assert page.locator("summary[aria-current]", has_text="Custom").is_visible()


def test_a_table_sorts_a_row_opens_and_a_number_leads_to_its_requests_and_back(visit: Visit) -> None:
    page = visit.open("/dashboard/models")
    table = page.get_by_role("region", name="Models open one to see its days")
    head = table.get_by_role("columnheader", name="Latency")
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    slowest = table.get_by_role("rowheader").first
    name = slowest.inner_text()
    slowest.get_by_role("link").click()
    page.wait_for_url("**model=*")
    assert page.locator("#model-days").inner_text().startswith(name)
    opened = page.url
    chosen = page.locator("tr[aria-selected=true]").first
    chosen.locator("td a").first.click()
    page.wait_for_url("**/dashboard/requests?**")
    assert page.get_by_label("Model").input_value() == name
    first = page.locator("#region-requests > li").first
    first.locator("summary").press("Enter")
    first.get_by_role("link", name="open", exact=True).click()
    page.wait_for_url("**/dashboard/requests/dev*")
    assert page.title().startswith("Request dev")
    page.go_back()
    page.go_back()
    assert page.url == opened


def test_a_page_that_is_not_there_says_where_to_go(visit: Visit, house: House) -> None:
    page = visit.open(NOWHERE)
    page.get_by_role("heading", name="There is nothing here").wait_for()
    page.get_by_role("main").get_by_role("link", name="Overview").click()
    page.wait_for_url("**/dashboard")
    assert house.get("/dashboard/api/nowhere", headers={"accept": "text/html"}).json()["error"]
    assert house.get(NOWHERE).headers["content-type"].startswith("application/json")
    visit.complaints.clear()  # the browser's own word about the 404
