"""Health in a real browser: a finding comes and goes while the page is open, and nobody is disturbed by it."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from builders import engine, machine, model
from web_house import House, web_house

from node.version import own_version
from node.wire import Heartbeat

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("HERD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SOON_MS = 30_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)"),
]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(heartbeat={"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}) as house:
        yield house


@pytest.fixture
def page(house: House) -> Iterator[Any]:
    complaints: list[str] = []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(SOON_MS)
        page.on("console", lambda said: said.type in {"error", "warning"} and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        house.do(lambda router: router.beat(beat()))
        page.goto(f"{house.url}/dashboard/health")
        page.wait_for_selector("[data-live=on]")
        yield page
        browser.close()
    assert complaints == []


def beat(free_gb: float = 40.0, **more: Any) -> Heartbeat:
    held = engine(model("m", gb=1, loaded=True))
    facts: dict[str, Any] = {"machine": machine(64, free_gb), "engines": (held,), "version": own_version()}
    return Heartbeat(node_id="mac", **{**facts, **more})


def renew(page: Any, text: str, *, there: bool) -> None:
    """The tab is turned away from and back to, until the page has it: nobody waits for the next 15 seconds."""
    for _ in range(60):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(300)
        if (page.get_by_role("heading", name=text).count() > 0) == there:
            return
    raise AssertionError(f"{text}: {'never came' if there else 'never went'}")


def test_a_node_that_goes_offline_is_a_finding_and_no_longer_once_it_is_back(house: House, page: Any) -> None:
    assert page.get_by_role("heading", name="mac is offline").count() == 0
    house.do(lambda router: router.beat(beat(goodbye=True)))
    renew(page, "mac is offline", there=True)
    assert page.locator("#region-findings > article").first.get_by_text("node_offline").is_visible()
    assert page.get_by_role("img", name="Score 80 of 100").is_visible()
    house.do(lambda router: router.beat(beat()))
    renew(page, "mac is offline", there=False)
    assert page.get_by_role("img", name="Score 100 of 100").is_visible()


def test_what_a_person_marked_and_reached_stays_while_other_findings_come(house: House, page: Any) -> None:
    card = page.locator("article", has_text="underutilized_memory")
    link = card.get_by_role("link", name="mac")
    link.focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.finding .fix code'))")
    marked = page.evaluate("getSelection().toString()")
    house.do(lambda router: router.beat(beat(free_gb=41, version="0.0.1")))
    renew(page, "another version", there=True)
    card.get_by_text("41.0 of 64.0 GB").wait_for()
    assert page.evaluate("getSelection().toString()") == marked != ""
    assert page.evaluate("document.activeElement.textContent") == "mac"


def test_a_tab_that_nobody_sees_asks_for_nothing(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", {value: true, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.wait_for_selector("[data-live=off]")
    assert asked == []
