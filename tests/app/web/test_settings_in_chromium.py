"""Settings and policies in a real browser, by keyboard: edit, preview, save, judged by it, undo. Knows no table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, Visit, chromium
from running import loaded
from web_house import House, web_house

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)"),
]
CALM = {"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}


class FakePort:
    port = 9


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(heartbeat=CALM) as house:
        house.do(lambda router: router.join("mac", FakePort(), loaded("m:1")))
        yield house


def opened(browser: Any, house: House, path: str) -> tuple[Visit, Any]:
    visit = Visit(browser, house.url)
    page = visit.open(f"{path}#admin={house.token}")
    page.locator(".admin-badge").wait_for()
    return visit, page


def worth(house: House) -> float:
    scored = house.get("/fleet/explain", params={"model": "m:1"}).json()["scored"]
    return float(scored[0]["points"]["thermal"])


def test_a_weight_is_edited_tried_saved_judged_by_and_undone(browser: Any, house: House) -> None:
    visit, page = opened(browser, house, "/dashboard/policies/llm")
    weight = page.get_by_label("Thermal weight")
    weight.focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("-3")
    page.get_by_role("button", name="Preview").focus()
    page.keyboard.press("Enter")
    page.locator("[id='score.thermal.weight.error']", has_text=">= 0").wait_for()
    assert page.evaluate("document.activeElement.id") == "score.thermal.weight"
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("65")
    page.get_by_role("button", name="Preview").focus()
    page.keyboard.press("Enter")
    page.locator("[data-preview-said]", has_text="No decision of this kind is recorded yet").wait_for()
    assert worth(house) == 50
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    page.get_by_role("cell", name="saved").wait_for()
    assert worth(house) == 65
    page.locator(".admin-badge").wait_for()
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    page.get_by_role("cell", name="undone").wait_for()
    assert worth(house) == 50
    visit.complaints = [one for one in visit.complaints if "400" not in one]  # the browser's own word about it
    assert (visit.complaints, visit.foreign) == ([], [])
    visit.close()


def test_a_switch_and_a_number_are_kept_over_a_restart_and_a_bad_number_is_told_at_its_field(
    browser: Any, tmp_path: Path
) -> None:
    with web_house(data_dir=tmp_path, heartbeat=CALM) as house:
        visit, page = opened(browser, house, "/dashboard/settings")
        page.get_by_role("checkbox", name="vram_fallback").focus()
        page.keyboard.press("Space")
        page.get_by_text("vram_fallback is now off").wait_for()
        page.get_by_label("hold_timeout").focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("-4")
        page.keyboard.press("Enter")
        page.locator("#error-hold_timeout", has_text="must be 0 or more").wait_for()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("44")
        page.keyboard.press("Enter")
        page.get_by_text("hold_timeout is now 44").wait_for()
        visit.complaints = [one for one in visit.complaints if "400" not in one]  # the browser's own word about it
        assert (visit.complaints, visit.foreign) == ([], [])
        visit.close()
    with web_house(data_dir=tmp_path, heartbeat=CALM) as house:
        visit, page = opened(browser, house, "/dashboard/settings")
        assert not page.get_by_role("checkbox", name="vram_fallback").is_checked()
        assert page.get_by_label("hold_timeout").input_value() == "44"
        page.get_by_role("button", name="Undo hold_timeout").focus()
        page.keyboard.press("Enter")
        page.get_by_text("hold_timeout is now 30").wait_for()
        visit.close()


def test_whoever_is_not_the_administrator_sees_the_values_and_how_to_sign_in(browser: Any, house: House) -> None:
    visit = Visit(browser, house.url)
    page = visit.open("/dashboard/settings")
    assert page.get_by_label("hold_timeout").is_disabled()
    assert page.get_by_text("open the admin link").is_visible()
    assert page.get_by_role("button", name="Save hold_timeout").count() == 0
    visit.close()
