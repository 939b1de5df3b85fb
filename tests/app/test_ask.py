"""The commands that ask a router: what they send, what they show, and one line when it is not there."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.tell import explain_text, status_text

STATUS: dict[str, Any] = {
    "fleet": {"nodes_total": 2, "nodes_online": 1, "models_loaded": 1, "requests_active": 2},
    "nodes": [
        {
            "node_id": "mac-studio",
            "status": "online",
            "memory": {"available_gb": 100.25, "total_gb": 128.0},
            "ollama": {"requests_active": 2, "models_loaded": [{"name": "llama3:70b"}]},
        },
        {
            "node_id": "evil\x1b[2J\nfake",
            "status": "waiting",
            "memory": {"available_gb": 0, "total_gb": 0},
            "ollama": {"requests_active": 0, "models_loaded": []},
        },
    ],
}
EXPLAIN: dict[str, Any] = {
    "model": "llama3.3:70b",
    "policy": "llm",
    "verdict": "placed",
    "how": "asked",
    "scored": [
        {"node_id": "mac-studio", "model": "llama3.3:70b", "total": 83.2, "points": {"thermal": 50.0, "latency": -1.8}},
        {"node_id": "pi", "model": "llama3.3:70b", "total": 0.0, "points": {"thermal": 0.0}},
    ],
    "refused": [{"node_id": "mac-mini", "filter": "memory_fits", "reason": "11 GB free, 40 GB needed"}],
}


class Router(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was asked."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, str, str | None]]


class Door(BaseHTTPRequestHandler):
    def answer(self) -> None:
        assert isinstance(self.server, Router)
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, what = self.server.answers.get(self.path.partition("?")[0], (404, {"error": "not here"}))
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Router]:
    server = Router(("127.0.0.1", 0), Door)
    server.answers, server.asked = {"/fleet/status": (200, STATUS), "/fleet/explain": (200, EXPLAIN)}, []
    monkeypatch.setenv("FLEET_ROUTER_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def herd(*tokens: str) -> None:
    cli.build()(list(tokens), result_action="return_value")


def test_status_shows_a_line_for_each_node_and_who_waits(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    herd("status")
    shown = capsys.readouterr().out
    assert "1 of 2 nodes online, 1 models loaded, 2 requests running" in shown
    assert "mac-studio" in shown
    assert "herd approve evil" in shown


def test_no_name_steers_the_terminal() -> None:
    assert "\x1b" not in status_text(STATUS)
    assert len(status_text(STATUS).splitlines()) == 5


def test_a_node_that_its_owner_needs_is_shown_as_paused_with_the_reason() -> None:
    first = {**STATUS["nodes"][0], "capacity": {"mode": "paused", "reason": "meeting_detected"}}
    assert "online, paused: meeting_detected" in status_text({**STATUS, "nodes": [first]})


def test_explain_shows_points_and_reasons() -> None:
    assert explain_text(EXPLAIN).splitlines() == [
        "llm policy: 2 scored, 1 refused",
        "  mac-studio   83.2   thermal +50  latency -1.8",
        "  pi           0.0    no signal spoke",
        "  mac-mini     refused by memory_fits: 11 GB free, 40 GB needed",
    ]


@pytest.mark.parametrize(
    ("changed", "last"),
    [
        ({"verdict": "absent", "scored": [], "refused": []}, "no node has llama3.3:70b"),
        ({"verdict": "held", "scored": [], "how": None}, "nobody may serve it now: a request would be held"),
        (
            {"verdict": "refused", "scored": [], "how": None},
            "nobody can ever serve it: a request would be refused",
        ),
        ({"how": "fallback"}, "served by llama3.3:70b (fallback)"),
    ],
)
def test_explain_ends_with_what_would_become_of_a_request(changed: dict[str, Any], last: str) -> None:
    assert explain_text({**EXPLAIN, **changed}).splitlines()[-1] == last


def test_explain_asks_for_the_model_and_the_tokens(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    herd("explain", "a/b:c&d", "--tokens", "6000", "--json")
    assert router.asked == [("GET", "/fleet/explain?model=a%2Fb%3Ac%26d&tokens=6000", None)]
    assert json.loads(capsys.readouterr().out) == EXPLAIN


def test_approving_shows_the_admin_token_of_the_folder(router: Router, tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("secret\n")
    router.answers["/fleet/nodes/a%2Fb/approve"] = (200, {})
    herd("approve", "a/b", "--data-dir", str(tmp_path))
    assert router.asked == [("POST", "/fleet/nodes/a%2Fb/approve", "Bearer secret")]


STAYS = {"status": "paused", "capacity": {"mode": "paused", "reason": "manual_override"}}


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        (["drain"], {}, "gets no new work"),
        (["pause"], {}, "gets no new work until `herd resume`"),
        (["pause", "--for", "2h"], {}, "gets no new work for 2h"),
        (["resume"], {"status": "resumed"}, "may get work again"),
        (["resume"], STAYS, "on its machine, `herd node resume`"),
    ],
)
def test_a_node_is_taken_out_of_service_and_back(
    words: list[str],
    answer: dict[str, object],
    said: str,
    router: Router,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    word, *more = words
    (tmp_path / "admin-token").write_text("secret\n")
    router.answers[f"/fleet/nodes/mac/{word}"] = (200, answer)
    herd(word, "mac", "--data-dir", str(tmp_path), *more)
    assert router.asked == [("POST", f"/fleet/nodes/mac/{word}", "Bearer secret")]
    assert said in capsys.readouterr().out


def test_forgetting_shows_the_admin_token_of_the_environment(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_ADMIN_TOKEN", "other")
    router.answers["/fleet/nodes/mac"] = (200, {})
    herd("forget", "mac")
    assert router.asked == [("DELETE", "/fleet/nodes/mac", "Bearer other")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "this needs the admin token"}), "this needs the admin token"),
        ((404, {"error": {"message": "no such node"}}), "no such node"),
        ((200, b"<html>hello"), "is no router"),
        ((500, {}), "{}"),
    ],
)
def test_a_refusal_is_one_line_and_code_1(router: Router, answer: tuple[int, Any], said: str) -> None:
    router.answers["/fleet/status"] = answer
    with pytest.raises(SystemExit) as left:
        herd("status")
    assert isinstance(left.value.code, str)  # Python prints it and leaves with 1
    assert said in left.value.code
    assert "\n" not in left.value.code


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "127.0.0.1:9", "http://[bad", "ftp://x", "http://nowhere.invalid"]
)
def test_no_router_is_one_line_that_says_what_to_do(url: str) -> None:
    with pytest.raises(SystemExit, match="herd run"):
        herd("status", "--router", url)


def test_without_a_token_the_way_to_give_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEET_ADMIN_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="FLEET_ADMIN_TOKEN"):
        herd("approve", "mac", "--data-dir", str(tmp_path))
