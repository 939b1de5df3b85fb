"""The page of benchmarks: figures of runs, what is under way, and what a person does with it in a browser."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.fake_ollama import FakeOllama
from running import RunningRouter, loaded
from shown_fleet import MARKUP
from web_house import House, web_house

API = "/dashboard/api/benchmarks"
PAGE = "/dashboard/benchmarks"
CHROMIUM = os.environ.get("HERD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def run(number: int, **more: Any) -> dict[str, Any]:
    began = 1_790_000_000 + number * 86400
    row = {"requests": 40, "failures": 1, "tok_s": 30.0 + number, "avg_latency_ms": 900.0, "avg_ttft_ms": 80.0}
    return {
        "run_id": f"bench-{began}", "timestamp": began + 61.0, "duration_s": 60.0, "mode": "default", "version": "1.2",
        "total_requests": 40, "total_failures": 1, "total_completion_tokens": 4000, "tokens_per_sec": 30.0 + number,
        "throughput_tok_s": 66.0 + number, "latency_p50_ms": 900.0, "ttft_p50_ms": 80.0, "requests_per_sec": 0.7,
        "fleet_snapshot": {"nodes": [{"node_id": MARKUP}], "models": [{"name": MARKUP}]},
        "per_model_results": [
            {"model": MARKUP, "model_type": MARKUP, "unit": "tokens", "unit_s": 66.0, **row},
            {"model": "embedder", "model_type": "embed", "unit": "texts", "unit_s": 12.5, "requests": 4},
            {"model": "painter", "model_type": "image", "unit": "images", "unit_s": 0.1, "s_per_unit": 8.0},
            {"model_type": "what is no row"},
        ],
        "per_node_results": [{"node_id": MARKUP, "pct": 100.0, "throughput_tok_s": 66.0, "tokens": 4000, **row}],
        "peak_utilization": [{"node_id": MARKUP, "cpu_avg": 20.0, "cpu_peak": 80.0, "mem_avg": None, "mem_peak": None}],
        **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(heartbeat={"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}) as house:
        yield house


def keep(house: House, told: dict[str, Any]) -> None:
    assert house.http.post(API, json=told, headers=house.admin).status_code == 200


def test_1_without_runs_the_page_says_what_a_run_would_tell(house: House) -> None:
    text = house.get(PAGE).text
    assert "Nothing was measured yet" in text
    assert "served first" in text
    assert text.count("the fleet has no model for it") == text.count('name="kind"') >= 3


def test_2_runs_are_shown_with_their_models_nodes_and_requests_and_markup_stays_text(house: House) -> None:
    for number in range(3):
        keep(house, run(number))
    keep(house, run(3, status="cancelled", error=MARKUP, per_model_results=[], per_node_results=[]))
    text = house.get(PAGE).text
    assert MARKUP not in text
    assert "No model was measured." in text
    assert text.count('aria-sort="descending"') >= 1
    assert "Throughput of the fleet" in text
    one = run(1)["run_id"]
    text = house.get(f"{PAGE}?run={one}").text
    assert MARKUP not in text
    assert "This run" in text
    assert "12.5 texts/s" in text
    assert "8.0 s each" in text
    assert re.search(r'href="/dashboard/requests\?tag=benchmark&amp;start_ts=\d+&amp;end_ts=\d+"', text)
    assert house.get(f"{PAGE}?run=bench-none").status_code == 200


def test_3_rows_that_came_from_elsewhere_with_little_in_them_break_nothing(house: House) -> None:
    keep(house, {"run_id": "other", "timestamp": 5.0, "status": "<b>", "fleet_snapshot": {"nodes": 3}})
    assert "&lt;b&gt;" in house.get(f"{PAGE}?run=other").text


async def fake_fleet(router: RunningRouter) -> FakeOllama:
    fake = FakeOllama()
    await fake.__aenter__()
    fake.word_s = 0.02
    await router.join("mac", fake, loaded(slots=2))
    return fake


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (set HERD_CHROMIUM to its path)")
def test_a_run_is_started_watched_left_found_again_and_cancelled_and_then_stands_in_the_table(house: House) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    fake = house.do(fake_fleet)
    complaints: list[str] = []
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{house.url}{PAGE}")
        assert not page.get_by_role("button", name="Run benchmark").is_visible()
        page.goto(f"{house.url}{PAGE}#admin={house.token}")
        page.get_by_role("button", name="Run benchmark").click()
        dialog = page.get_by_role("dialog", name="Run benchmark")
        assert dialog.get_by_label("Language models").is_checked()
        assert dialog.get_by_label("Images").is_disabled()
        dialog.get_by_label("Language models").uncheck()
        dialog.get_by_role("button", name="Start").click()
        dialog.get_by_role("alert").get_by_text("model_types").wait_for()
        dialog.get_by_label("Language models").check()
        dialog.get_by_label("Duration").select_option("1 minute")
        dialog.get_by_role("button", name="Start").press("Enter")
        page.get_by_role("heading", name="Measuring").wait_for()
        page.goto(f"{house.url}/dashboard/apps")
        page.goto(f"{house.url}{PAGE}")
        page.get_by_role("heading", name="Measuring").wait_for()
        deadline = time.monotonic() + 20
        while page.locator("[data-count=done]").inner_text() == "0":
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        assert page.get_by_role("button", name="Run benchmark").is_disabled()
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_url("**run=bench-*")
        row = page.locator("tr[aria-selected=true]")
        assert "Cancelled" in row.inner_text()
        page.get_by_role("heading", name="This run").wait_for()
        assert page.get_by_role("cell", name="mac").or_(page.get_by_role("rowheader", name="mac")).count()
        page.get_by_role("button", name="Throughput").last.click()
        assert page.locator("th[aria-sort=descending]", has_text="Throughput").count()
        for width, scheme in ((390, "light"), (1440, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert [one for one in complaints if "400" not in one] == []  # the refused start is the browser's own word
    house.do(lambda router: fake.__aexit__(None, None, None))
