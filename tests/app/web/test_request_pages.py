"""The list of requests and each by itself: what is looked for is found, and nothing else."""

import re
import time
from collections.abc import Iterator

import pytest
from fakes.fake_ollama import FakeOllama
from running import RunningRouter
from traces import attempt, trace
from web_house import House, web_house

from app.web.doors import requests as doors

NOW = time.time()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    usual = [trace(n, timestamp=NOW - 10 * n, user_agent="curl/8") for n in range(1, 121)]
    special = [
        trace(1001, timestamp=NOW - 5, model="qwen3:8b", tags=["a b", "ü"], status="expired",
              error_message="too % late_"),
        trace(1002, timestamp=NOW - 6, node_id="pi", status="incomplete", retry_count=1,
              attempts=[attempt(node_id="mac", outcome="retried", error="gone"), attempt(node_id="pi")]),
        trace(1003, timestamp=NOW - 20 * 86400, status="failed"),
        trace(1004, timestamp=NOW - 7, status="client_disconnected", scores_breakdown={"thermal": 50.0, "total": 50.0},
              score=50.0),
    ]  # fmt: skip
    with web_house([*usual, *special]) as house:
        yield house


def ids(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'href="/dashboard/requests/req-(\d+)"', page)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("model=qwen3:8b", [1001]),
        ("node_id=pi", [1002]),
        ("tag=a+b", [1001]),
        ("tag=%C3%BC", [1001]),
        ("status=failed", [1001, 1002]),
        ("status=failed&range=30d", [1001, 1002, 1003]),
        ("status=client_disconnected", [1004]),
        ("text=% LATE_", [1001]),
        ("text=req-1002", [1002]),
        ("text='; DROP TABLE trace", []),
        ("model=nobody", []),
    ],
)
def test_each_word_finds_its_requests(house: House, query: str, found: list[int]) -> None:
    assert ids(house.get(f"/dashboard/requests?{query}").text) == found


def test_older_requests_are_a_link_away_and_none_is_shown_twice_or_left_out(house: House) -> None:
    seen: list[int] = []
    query = "?text=curl"
    while query:
        page = house.get(f"/dashboard/requests{query}").text
        seen += ids(page)
        older = re.search(r'href="(\?[^"]*before=[^"]*)"', page)
        query = older.group(1).replace("&amp;", "&") if older else ""
    assert seen == list(range(1, 121))


def test_what_was_looked_for_stays_in_the_form(house: House) -> None:
    page = house.get("/dashboard/requests?model=qwen3:8b&status=failed&range=24h").text
    assert 'name="model" value="qwen3:8b"' in page
    assert '<option value="failed" selected>' in page
    assert '<input type="hidden" name="range" value="24h">' in page


def test_a_request_by_itself_tells_its_attempts_and_points(house: House) -> None:
    page = house.get("/dashboard/requests/req-1002").text
    assert "<title>Request req-1002 · Herd</title>" in page
    assert ": gone" in page
    assert "Thermal" in house.get("/dashboard/requests/req-1004").text


def test_a_request_that_is_not_kept_is_said_to_be_so(house: House) -> None:
    answer = house.get("/dashboard/requests/nobody")
    assert answer.status_code == 404
    assert "nobody" in answer.text


def test_a_request_that_was_just_served_shows_everybody_who_was_ranked_or_refused(house: House) -> None:
    async def asked(router: RunningRouter) -> str:
        async with FakeOllama() as fake:
            await router.join("ranked", fake)
            await router.join("sick", fake, healthy=False)
            asking = {"model": "smollm2:135m", "messages": [], "stream": False}
            answer = await router.http.post("/api/chat", json=asking)
            request_id = str(answer.headers["X-Request-Id"])
            await router.traces(request_id=request_id)
            return request_id

    request_id = house.do(asked)
    shown = house.get(f"/dashboard/requests/{request_id}").text
    assert "Chosen" in shown
    assert "sick" in shown
    told = house.get(f"/dashboard/api/decisions/{request_id}").json()
    assert (told["chosen"], [one["node_id"] for one in told["scored"]]) == ("ranked", ["ranked"])
    assert told["scored"][0]["points"]["thermal"] == 50
    assert [(one["node_id"], one["filter"]) for one in told["refused"]] == [("sick", "serves")]


def test_of_a_request_whose_decision_is_not_kept_the_page_says_so(house: House) -> None:
    assert "Of this one only what stands above is left" in house.get("/dashboard/requests/req-1001").text
    assert house.get("/dashboard/api/decisions/req-1001").status_code == 404


def test_words_are_looked_for_in_so_many_requests_and_then_further_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "SEARCHED", 5)
    first = house.get("/dashboard/requests?range=30d&text=nothing-says-this").text
    assert "Look further back" in first
    further = re.findall(r'href="([^"]+before=[^"]+)">Look further back', first)
    assert house.get("/dashboard/requests" + further[0].replace("&amp;", "&")).status_code == 200


def test_a_request_is_found_by_its_id_however_old_it_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = house.get("/dashboard/api/traces?limit=1000").json()["traces"][-1]["request_id"]
    monkeypatch.setattr(doors, "SEARCHED", 1)
    assert oldest in house.get(f"/dashboard/requests?range=30d&text={oldest}").text
