"""Recommendations in a real browser: check, copy, pull, watch, cancel, delete with a question, by keyboard too."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from running import RunningRouter, loaded
from web_house import House, web_house

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("HERD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SOON_MS = 30_000
PLANNED = ("qwen3:4b", "qwen2.5-coder:3b", "deepseek-r1:1.5b", "gemma3:4b")
"""What a machine of 16 GB should hold."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Desk:
    """A router with one node whose engine is a fake, and a signed-in browser before its page."""

    def __init__(self, house: House, fake: FakeOllama, page: Any) -> None:
        self.house = house
        self.fake = fake
        self.page = page

    def open(self) -> Any:
        self.page.goto(f"{self.house.url}/dashboard/recommendations#admin={self.house.token}")
        self.page.wait_for_selector("html[data-admin]")
        return self.page

    def hold(self) -> None:
        """Pulls stop in their middle from now on."""

        async def holding(_: RunningRouter) -> None:
            self.fake.store.pull_hold = asyncio.Event()

        self.house.do(holding)

    def let_go(self) -> None:
        async def going(_: RunningRouter) -> None:
            assert self.fake.store.pull_hold is not None
            self.fake.store.pull_hold.set()

        self.house.do(going)

    def card(self, name: str) -> Any:
        return self.page.locator(f'[data-pull][data-model="{name}"]')

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits without a script in the page: its policy would refuse one."""
        for _ in range(600):
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it has not come to that")


@pytest.fixture
def desk(chromium: Any) -> Iterator[Desk]:
    fake = FakeOllama(FakeModel("old:1b"), FakeModel("busy:1b", loaded=True), FakeModel("kept:1b"))
    fake.store.pulls |= {name: FakeModel(name, size=2_000_000) for name in PLANNED[:3]}
    complaints: list[str] = []

    async def join(router: RunningRouter) -> None:
        await fake.accept()
        models = [loaded(model.name, loaded=model.loaded) for model in fake.models.values()]
        await router.join("mac", fake, *models, operations=("chat", "pull", "delete"), memory_gb=16, disk_gb=90)

    async def leave(_: RunningRouter) -> None:
        await fake.refuse()

    with web_house(heartbeat={"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}) as house:
        house.do(join)
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.on("console", lambda said: said.type in {"error", "warning"} and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield Desk(house, fake, page)
        context.close()
        house.do(leave)
    # What the router refuses, the browser itself notes: that is no fault of the page.
    assert [one for one in complaints if not one.startswith("Failed to load resource")] == []


def test_a_checked_model_is_pulled_watched_and_there(desk: Desk) -> None:
    page = desk.open()
    desk.hold()
    for name in PLANNED[1:]:
        desk.card(name).get_by_role("checkbox").uncheck()
    assert page.locator("[data-command-text]").inner_text() == "ollama pull qwen3:4b"
    page.get_by_role("button", name="Pull 1 model").click()
    card = desk.card(PLANNED[0])
    card.get_by_text("50 % · 977 KiB of 1.9 MiB").wait_for()
    assert card.get_by_role("progressbar", name="Pull of Qwen3 4B to mac").is_visible()
    assert not desk.card(PLANNED[1]).get_by_role("checkbox").is_checked()
    page.reload()
    card.get_by_text("50 %").wait_for()  # seen again by whoever opens the page
    desk.let_go()
    card.get_by_text("already there").wait_for()
    page.get_by_text("Qwen3 4B is on mac.").wait_for()
    page.locator(".stock").get_by_role("rowheader", name="qwen3:4b").wait_for()
    assert card.get_by_role("checkbox").is_disabled()


def test_several_are_pulled_one_is_cancelled_and_one_fails_in_words_all_by_keyboard(desk: Desk) -> None:
    page = desk.open()
    desk.hold()
    page.get_by_role("button", name="Pull 4 models").focus()
    page.keyboard.press("Enter")
    desk.card("gemma3:4b").get_by_text("file does not exist").wait_for()
    cancel = page.get_by_role("button", name="Cancel the pull of Qwen3 4B to mac")
    cancel.wait_for()
    cancel.focus()
    page.keyboard.press("Enter")
    desk.card("qwen3:4b").get_by_text("Cancelled. What came so far is kept").wait_for()
    assert desk.card("qwen3:4b").get_by_role("checkbox").is_enabled()
    desk.until(lambda: page.evaluate("document.activeElement !== document.body"))
    desk.let_go()
    desk.card("qwen2.5-coder:3b").get_by_text("already there").wait_for()
    desk.card("deepseek-r1:1.5b").get_by_text("already there").wait_for()
    page.get_by_role("button", name="Pull 2 models").wait_for()
    assert set(desk.fake.models) >= {"qwen2.5-coder:3b", "deepseek-r1:1.5b"}


def test_models_are_deleted_after_a_question_that_warns_of_loaded_ones(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("checkbox", name="Select old:1b of mac").check()
    page.get_by_role("checkbox", name="Select busy:1b of mac").check()
    button = page.get_by_role("button", name="Delete 2 models")
    button.click()
    dialog = page.get_by_role("dialog", name="Delete 2 models from mac?")
    assert dialog.get_by_text("1 of them is in memory").is_visible()
    assert dialog.get_by_role("listitem").count() == 2
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert len(desk.fake.models) == 3
    button.click()
    dialog.get_by_role("button", name="Delete 2 models").click()
    page.get_by_text("2 models deleted from mac.").wait_for()
    assert list(desk.fake.models) == ["kept:1b"]


def test_all_are_selected_and_deleted_by_keyboard_and_the_question_can_be_answered_no(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("checkbox", name="Select all models of mac").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Delete 3 models").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Keep them"
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Delete 3 models").is_enabled()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("3 models deleted from mac.").wait_for()
    assert desk.fake.models == {}


def test_a_deletion_that_fails_says_so_at_its_row(desk: Desk) -> None:
    page = desk.open()
    del desk.fake.models["old:1b"]
    for name in ("old:1b", "kept:1b"):
        page.get_by_role("checkbox", name=f"Select {name} of mac").check()
    page.get_by_role("button", name="Delete 2 models").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete 2 models").click()
    page.get_by_text("1 model deleted from mac, 1 not.").wait_for()
    assert page.locator('tr[data-model="old:1b"]').get_by_text("not found").is_visible()


def test_who_is_not_signed_in_sees_the_plan_and_how_to_sign_in(desk: Desk, chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{desk.house.url}/dashboard/recommendations")
    page.get_by_text("it signs this browser in").wait_for()
    assert not page.get_by_role("button", name="Pull 4 models").is_visible()
    assert not page.get_by_role("checkbox", name="Select old:1b of mac").is_visible()
    page.get_by_role("button", name="Copy the command for mac").click()
    page.get_by_text("The command is copied").wait_for()
    context.close()
