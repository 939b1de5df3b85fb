"""Trends, Model Insights and Apps over a real history: numbers of the span, and their requests a link away."""

import re
import time
from collections.abc import Iterator

import pytest
from traces import trace
from web_house import House, web_house

from app.dev.seed import traces

NOW = time.time()
PAGES = ("/dashboard/trends", "/dashboard/models", "/dashboard/apps")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    old = [trace(n, timestamp=NOW - 20 * 86400 - n, model="old:1b", tags=["old"], prompt_tokens=7) for n in range(5)]
    with web_house([*old, *traces(NOW, count=400)]) as house:
        yield house


@pytest.fixture(scope="module")
def empty() -> Iterator[House]:
    with web_house() as house:
        yield house


def figures(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>([^<]+)</dt><dd[^>]*>(.*?)(?:<small|</dd>)", page)
    return {label: re.sub(r"<[^>]+>|\s", "", text) for label, text in found}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "query", ["", "?range=24h", "?range=30d", "?start_ts=1&end_ts=2", "?start_ts=nan&end_ts=inf", "?range=x"]
)
def test_a_page_opens_whatever_span_its_address_names(house: House, path: str, query: str) -> None:
    answer = house.get(path + query)
    assert answer.status_code == 200
    assert "<h1>" in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_without_any_history_a_page_says_what_to_do(empty: House, path: str) -> None:
    page = empty.get(path).text
    assert "Nothing in this span" in page or "in this span" in page


def test_the_figures_follow_the_span(house: House) -> None:
    week, month = (figures(house.get(f"/dashboard/trends?range={word}").text) for word in ("7d", "30d"))
    assert int(week["Requests"]) == 400
    assert int(month["Requests"]) == 405
    assert "old:1b" not in house.get("/dashboard/models?range=7d").text
    assert "old:1b" in house.get("/dashboard/models?range=30d").text
    assert ">old<" in house.get("/dashboard/apps?range=30d").text


def test_a_number_leads_to_the_requests_behind_it(house: House) -> None:
    page = house.get("/dashboard/models?range=7d").text
    assert re.search(r'href="/dashboard/requests\?start_ts=\d+&amp;end_ts=\d+&amp;model=qwen3%3A8b"', page)
    assert re.search(r'href="/dashboard/requests\?[^"]*status=failed&amp;model=qwen3%3A8b"', page)


def test_the_model_of_the_address_is_the_one_whose_days_are_shown(house: House) -> None:
    page = house.get("/dashboard/models?range=7d&model=phi4:14b").text
    assert re.search(r'<h2 id="model-days">phi4:14b', page)
    assert page.count('aria-selected="true"') == 1


def test_one_kind_of_work_can_be_looked_at_alone(house: House) -> None:
    everything, one = (
        int(figures(house.get(f"/dashboard/trends?range=7d{more}").text)["Requests"])
        for more in ("", "&modality=embed")
    )
    assert 0 < one < everything


def test_decode_speed_is_the_engines_own_and_not_tokens_over_the_whole_time() -> None:
    slow_start = trace(1, timestamp=NOW - 60, latency_ms=10_000.0, completion_tokens=100, decode_ms=2000.0)
    with web_house([slow_start]) as house:
        assert figures(house.get("/dashboard/trends").text)["Decode speed"] == "50.0"


def test_the_json_has_the_public_names_and_the_same_sums(house: House) -> None:
    trends = house.get("/dashboard/api/trends", params={"hours": 168}).json()
    assert trends["hours"] == 168
    assert sum(row["request_count"] for row in trends["data"]) == 400
    assert [row["hour_bucket"] % 3600 for row in trends["data"]] == [0] * len(trends["data"])
    assert set(trends["data"][0]) == {
        "hour_bucket", "request_count", "avg_latency_ms", "total_prompt_tokens", "total_completion_tokens",
    }  # fmt: skip
    models = house.get("/dashboard/api/models").json()
    assert {row["model_name"] for row in models["summary"]} > {"old:1b", "qwen3:8b"}
    counts = [row["total_requests"] for row in models["summary"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(row["request_count"] for row in models["daily"]) == 400
    usage = house.get("/dashboard/api/usage").json()["data"]
    assert sum(row["completed_count"] + row["failed_count"] for row in usage) <= 400
    assert [row["day_bucket"] for row in usage] == sorted((row["day_bucket"] for row in usage), reverse=True)
    apps = house.get("/dashboard/api/apps").json()
    assert {row["tag"] for row in apps["summary"]} > {"old"}
    assert "old" not in {row["tag"] for row in apps["data"]}
    assert house.get("/dashboard/api/tags").json() == apps
    daily = house.get("/dashboard/api/apps/daily").json()["data"]
    assert sum(row["request_count"] for row in daily) == sum(row["request_count"] for row in apps["data"])
    assert house.get("/dashboard/tags").status_code == 200


@pytest.mark.parametrize("query", ["hours=-1", "hours=nan", "hours=1e300", "days=0&start_ts=5&end_ts=1"])
def test_a_span_that_cannot_be_is_the_usual_one(house: House, query: str) -> None:
    for path in ("trends", "models", "apps", "apps/daily"):
        assert house.get(f"/dashboard/api/{path}?{query}").status_code == 200
    assert house.get("/dashboard/api/trends?hours=many").status_code == 400
