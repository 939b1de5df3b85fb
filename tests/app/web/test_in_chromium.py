"""The overview in a real browser: what a person sees, does and keeps while the fleet moves."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from shown_fleet import MARKUP, marked_up, trace
from web_site import TOKEN, Site

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("HERD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Visit:
    """One tab. ``complaints`` are console errors and script errors, ``foreign`` the requests that left the site."""

    def __init__(self, browser: Any, site: Site, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.site = site
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)

    def _hear(self, said: Any) -> None:
        if said.type in {"error", "warning"}:
            self.complaints.append(said.text)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.site.url + "/", "data:")):
            self.foreign.append(request.url)

    def open(self, fragment: str = "") -> Any:
        self.page.goto(f"{self.site.url}/dashboard{fragment}")
        self.page.wait_for_selector("[data-live=on]")
        return self.page


def until(page: Any, holds: Callable[[], bool]) -> None:
    """Waits without a script of its own in the page: the page's policy would refuse it."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def shows(page: Any, text: str) -> bool:
    return text in page.locator("#totals").inner_text()


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Visit]:
    visit = Visit(browser, site, viewport={"width": 1440, "height": 900})
    yield visit
    assert visit.complaints == []
    assert visit.foreign == []
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_the_page_fits_its_screen_and_asks_nobody_else(browser: Any, site: Site, width: int, scheme: str) -> None:
    visit = Visit(browser, site, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = visit.open()
    page.locator("#region-requests summary").nth(1).click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    lightness = page.evaluate("""() => {
        const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
        canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data[1];
    }""")
    assert lightness > 200 if scheme == "light" else lightness < 60
    assert page.evaluate("document.fonts.check('14px Inter')")
    assert (visit.complaints, visit.foreign) == ([], [])
    visit.context.close()


def test_a_change_of_the_fleet_arrives_without_a_reload(visit: Visit) -> None:
    page = visit.open()
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, completed=777)
    until(page, partial(shows, page, "777"))
    nodes = visit.site.snapshot.nodes
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, nodes=nodes[:1])
    until(page, lambda: page.locator("#region-nodes > *").count() == 1)
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, nodes=nodes)
    until(page, lambda: page.locator("#region-nodes > *").count() == 4)


def test_an_opened_row_stays_open_and_in_its_place_while_requests_arrive(visit: Visit) -> None:
    page = visit.open()
    row = page.locator("#region-requests > li").nth(3)
    key = row.get_attribute("id")
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(f"#{key} .sentence").is_visible()
    place = row.bounding_box()
    visit.site.traces = [*(trace(number) for number in range(100, 102)), *visit.site.traces]
    button = page.get_by_role("button", name="Show 2 new")
    button.wait_for()
    assert page.locator(f"#{key}").bounding_box() == place
    assert page.evaluate(f"document.activeElement.closest('li').id === '{key}'")
    page.keyboard.press("Enter")
    until(page, lambda: page.locator("#region-requests > li").count() == 32)
    assert not button.is_visible()
    assert page.evaluate(f"document.activeElement.closest('li').id === '{key}'")


def test_new_requests_may_be_shown_without_closing_the_opened_row(visit: Visit) -> None:
    page = visit.open()
    row = page.locator("#region-requests > li").nth(29)
    key = row.get_attribute("id")
    row.locator("summary").click()
    visit.site.traces = [trace(number) for number in range(100, 150)]
    page.get_by_role("button", name="Show 50 new").click()
    assert page.locator("#region-requests > li").count() == 51
    assert page.locator(f"#{key} .sentence").is_visible()


def test_an_opened_list_of_a_node_stays_open_while_the_node_changes(visit: Visit) -> None:
    page = visit.open()
    page.locator(".stored summary").first.click()
    node = visit.site.snapshot.nodes[0]
    machine = msgspec.structs.replace(node.machine, cpu_percent=91.0)
    changed = msgspec.structs.replace(node, machine=machine)
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, nodes=(changed, *visit.site.snapshot.nodes[1:]))
    page.get_by_text("91 %").wait_for()
    assert page.get_by_text("mistral-small:24b").is_visible()


def test_times_are_those_of_the_readers_zone(browser: Any, site: Site) -> None:
    visit = Visit(browser, site, timezone_id="Asia/Tokyo", locale="en-GB")
    page = visit.open()
    assert "11:00" in page.locator("#region-requests time").first.inner_text()
    visit.context.close()


def test_markup_in_names_runs_nothing_also_when_it_arrives_live(visit: Visit) -> None:
    page = visit.open()
    visit.site.snapshot, visit.site.traces = marked_up()
    page.locator("h3", has_text=MARKUP).first.wait_for()
    page.reload()
    page.wait_for_selector("[data-live=on]")
    assert page.title() == "Overview · Herd"
    assert page.locator("main img").count() == 0


def test_without_the_admin_link_nothing_can_be_approved(visit: Visit) -> None:
    page = visit.open()
    assert page.get_by_text("herd approve kitchen-mini").is_visible()
    assert not page.get_by_role("button").is_visible()
    assert not page.locator(".admin-badge").is_visible()


def test_the_admin_link_is_traded_for_a_cookie_and_leaves_the_address(visit: Visit) -> None:
    page = visit.open(f"#admin={TOKEN}")
    page.locator(".admin-badge").wait_for()
    assert TOKEN not in page.url
    assert TOKEN not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Approve kitchen-mini").click()
    page.get_by_text("kitchen-mini is approved").wait_for()
    assert visit.site.approved == ["kitchen-mini"]
    page.reload()
    page.locator(".admin-badge").wait_for()


def test_a_wrong_admin_link_says_so_and_changes_nothing(browser: Any, site: Site) -> None:
    visit = Visit(browser, site)
    page = visit.open("#admin=wrong")
    page.get_by_text("This admin link is not valid").wait_for()
    assert not page.locator(".admin-badge").is_visible()
    visit.context.close()


def test_several_tabs_of_one_browser_are_all_live(visit: Visit) -> None:
    tabs = [visit.open(), *(visit.context.new_page() for _ in range(3))]
    for tab in tabs[1:]:
        tab.goto(f"{visit.site.url}/dashboard")
        tab.wait_for_selector("[data-live=on]")
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, completed=313)
    for tab in tabs:
        until(tab, partial(shows, tab, "313"))


def test_a_tab_that_nobody_sees_gives_its_stream_back_and_catches_up_later(visit: Visit) -> None:
    page = visit.open()
    turn = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(turn, True)
    until(page, lambda: visit.site.live.listeners == 0)
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, completed=414)
    page.evaluate(turn, False)
    until(page, partial(shows, page, "414"))


def test_when_the_stream_ends_the_page_says_so(visit: Visit) -> None:
    page = visit.open()
    visit.site.stop_live()
    page.wait_for_selector("[data-live=lost]")
    assert page.locator("[data-live]").inner_text() == "Reconnecting"
    visit.complaints.clear()  # the refused reconnection is the browser's own word about it


def test_an_empty_fleet_shows_the_first_steps_with_this_address(visit: Visit) -> None:
    visit.site.snapshot = msgspec.structs.replace(visit.site.snapshot, nodes=(), lines=(), waiting=())
    visit.site.traces = []
    page = visit.open()
    assert page.get_by_text("herd node", exact=True).is_visible()
    assert f"curl {visit.site.url}/v1/chat/completions" in page.locator("#no-requests code").inner_text()


def test_every_control_is_reached_by_the_keyboard_and_has_a_name(visit: Visit) -> None:
    page = visit.open()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.tagName + ':' + document.activeElement.textContent.trim().length")
        )
    assert "SUMMARY" in {one.split(":")[0] for one in reached}
    assert not [one for one in reached if one.endswith(":0") and not one.startswith("BODY")]
