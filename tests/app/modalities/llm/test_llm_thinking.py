"""Models that think get room for it, and only they, and only where the client set a limit. Knows no socket."""

import json
from typing import Any

import pytest
from golden.kept import call, route
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.fleet.job import Call
from app.modalities.llm.settings import LanguageModels
from app.modalities.llm.thinking import BUDGET_MOST, budget, thinks

MESSAGES = [{"role": "user", "content": "hi"}]
THINKER = replace(route("deepseek-r1:8b"), model=replace(route("deepseek-r1:8b").model, capabilities=("thinking",)))


@pytest.mark.parametrize(
    ("asked", "given_"), [(200, 1024), (256, 1024), (257, 1028), (2000, 8000), (-1, -1), (-2, -2), (0, 0)]
)
def test_the_golden_budgets(asked: int, given_: int) -> None:
    assert budget(asked, 4.0, 1024) == given_


@given(asked=st.integers(-5, BUDGET_MOST), overhead=st.floats(1, 1000), least=st.integers(0, 10**6))
def test_a_budget_is_never_less_than_asked_for_nor_more_than_an_engine_can_count(
    asked: int, overhead: float, least: int
) -> None:
    assert asked <= budget(asked, overhead, least) <= BUDGET_MOST


@pytest.mark.parametrize(
    ("name", "capabilities", "tells", "does"),
    [
        ("anything:7b", ("completion", "thinking"), True, True),
        ("deepseek-r1:14b", ("completion",), True, True),
        ("hf.co/someone/Phi-4-Reasoning-GGUF:Q4", (), False, True),
        ("gpt-oss:20b", (), False, True),
        ("qwen3:8b", (), False, True),
        ("qwen3:8b", ("completion", "tools"), True, False),
        ("qwen3:8b", ("completion",), False, True),
        ("qwen3-coder:30b", (), False, False),
        ("qwen3:4b-instruct", (), False, False),
        ("qwen2.5:7b", (), False, False),
        ("phi-4:14b", (), False, False),
        ("phi3:mini", (), False, False),
        ("smollm2:135m", ("completion",), True, False),
    ],
)
def test_who_thinks(name: str, capabilities: tuple[str, ...], tells: bool, does: bool) -> None:
    assert thinks(name, capabilities, tells=tells) is does


def sent(path: str, body: dict[str, Any], **settings: Any) -> tuple[dict[str, Any], Call]:
    made = call(path, {"model": "deepseek-r1:8b", "messages": MESSAGES, **body}, THINKER, LanguageModels(**settings))
    return json.loads(made.body), made


def test_a_limit_in_ollamas_dialect_is_raised_and_noted_and_the_other_options_stay() -> None:
    body, made = sent("/api/chat", {"options": {"num_predict": 200, "seed": 1e3, "stop": ["x"]}})
    assert body["options"] == {"num_predict": 1024, "seed": 1e3, "stop": ["x"]}
    assert b"1000.0" in made.body
    assert "budget.raised 200 -> 1024" in made.notes
    assert made.budget == 1024


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_a_limit_in_openais_dialect_is_raised(key: str) -> None:
    body, made = sent("/v1/chat/completions", {key: 2000})
    assert body[key] == 8000
    assert made.budget == 8000


def test_a_limit_is_raised_also_where_the_request_is_translated() -> None:
    llama = replace(THINKER, engine_kind="llama", dialects=("openai",))
    made = call("/api/generate", {"model": "x", "prompt": "hi", "options": {"num_predict": 300}}, llama)
    assert json.loads(made.body)["max_tokens"] == 1200
    assert "budget.raised 300 -> 1200" in made.notes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"options": {"num_predict": -1}}),
        ("/api/chat", {"options": {"num_predict": -2}}),
        ("/api/chat", {"options": {"num_predict": 0}}),
        ("/api/chat", {"options": {"top_k": 5}}),
        ("/api/chat", {}),
        ("/api/chat", {"think": False, "options": {"num_predict": 200}}),
        ("/api/generate", {"prompt": "hi", "raw": True, "options": {"num_predict": 200}}),
        ("/v1/chat/completions", {"reasoning_effort": "none", "max_tokens": 200}),
        ("/v1/chat/completions", {"reasoning": {"effort": "none"}, "max_tokens": 200}),
        ("/v1/chat/completions", {"chat_template_kwargs": {"enable_thinking": False}, "max_tokens": 200}),
        ("/v1/chat/completions", {}),
    ],
)
def test_what_has_no_limit_or_shall_not_think_is_left_alone(path: str, body: dict[str, Any]) -> None:
    arrived, made = sent(path, body)
    assert {key: arrived[key] for key in body} == body
    assert not any(note.startswith("budget") for note in made.notes)


def test_a_model_that_does_not_think_keeps_its_limit() -> None:
    body = {"model": "smollm2:135m", "messages": MESSAGES, "options": {"num_predict": 200}}
    made = call("/api/chat", body, route())
    assert json.loads(made.body)["options"] == {"num_predict": 200}
    assert made.budget == 200


def test_the_settings_say_how_much_room() -> None:
    body, _ = sent("/v1/chat/completions", {"max_tokens": 100}, thinking_overhead=2.0, thinking_min_predict=16)
    assert body["max_tokens"] == 200
