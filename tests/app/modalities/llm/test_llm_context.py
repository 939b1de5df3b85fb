"""How much context an Ollama is told, and what the client is told of that. Knows no socket."""

import json
from typing import Any

import pytest
from golden.kept import call, job, route
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.fleet.job import Call, Route
from app.fleet.usage import ContextUse, recommended
from app.modalities.llm.context import power_of_two, size
from app.modalities.llm.settings import LanguageModels
from app.modalities.llm.sizing import revision

MESSAGES = [{"role": "user", "content": "hi"}]


def at(loaded: int | None, most: int | None = 131072, kind: str = "ollama") -> Route:
    """A model with so much context in memory (None: not loaded)."""
    way = route(kind=kind, dialects=("ollama", "openai") if kind == "ollama" else ("openai",))
    model = replace(way.model, loaded=loaded is not None, context_length=loaded, context_max=most)
    return replace(way, model=model)


def told(
    way: Route, path: str = "/api/chat", mode: str = "strip", said: dict[str, int] | None = None, **body: Any
) -> tuple[Any, str, Call]:
    """The options as the engine gets them, the action, and the whole call."""
    whole = {"model": "smollm2:135m", "messages": MESSAGES, "prompt": "hi", **body}
    settings = LanguageModels(
        context_protection=mode,  # type: ignore[arg-type]
        dynamic_num_ctx=said is not None,
        num_ctx_overrides=said or {},
    )
    made = call(path, whole, way, settings)
    action = dict(made.headers)["x-fleet-context"].partition("action=")[2].partition(";")[0]
    return json.loads(made.body).get("options"), action, made


def test_the_context_that_is_loaded_is_named_whether_the_client_named_another_or_none() -> None:
    assert told(at(32768))[:2] == ({"num_ctx": 32768}, "kept")
    assert told(at(32768), options={"num_ctx": 4096})[:2] == ({"num_ctx": 32768}, "stripped")
    assert told(at(32768), options={"num_ctx": 32768})[:2] == ({"num_ctx": 32768}, "none")
    options, _, made = told(at(32768), options={"seed": 1, "num_ctx": 4096, "temperature": 0.5})
    assert options == {"seed": 1, "num_ctx": 32768, "temperature": 0.5}
    assert "context.stripped 32768" in made.notes


def test_a_larger_context_is_a_conscious_reload_within_what_the_model_was_made_for() -> None:
    assert told(at(32768), options={"num_ctx": 65536})[:2] == ({"num_ctx": 65536}, "reloaded")
    assert told(at(32768), options={"num_ctx": 10**6})[:2] == ({"num_ctx": 131072}, "reloaded")
    assert told(at(8192, 8192), options={"num_ctx": 65536})[:2] == ({"num_ctx": 8192}, "stripped")


def test_a_prompt_that_does_not_fit_is_given_room_to_grow_though_the_client_names_none() -> None:
    long = [{"role": "user", "content": "x" * 20_000}]
    options, action, made = told(at(4096), messages=long)
    assert (options, action) == ({"num_ctx": 8192}, "reloaded")
    assert dict(made.headers)["x-fleet-context"] == "needed=5004; loaded=4096; action=reloaded; num_ctx=8192"
    assert told(at(4096), messages=long, options={"num_ctx": 2048})[:2] == ({"num_ctx": 8192}, "reloaded")
    assert told(at(4096, 4096), messages=long)[:2] == ({"num_ctx": 4096}, "overflow")


def test_of_the_output_asked_for_only_a_bounded_part_makes_a_model_load_anew() -> None:
    assert told(at(4096), options={"num_predict": 100_000})[1] == "kept"
    assert told(at(2048), options={"num_predict": 100_000})[0] == {"num_predict": 100_000, "num_ctx": 4096}


def test_a_model_not_in_memory_is_loaded_as_ollama_or_the_client_will_unless_the_prompt_needs_more() -> None:
    assert told(at(None))[:2] == (None, "none")
    assert told(at(None), options={"num_ctx": 2048})[:2] == ({"num_ctx": 2048}, "none")
    long = [{"role": "user", "content": "x" * 20_000}]
    assert told(at(None), messages=long)[:2] == ({"num_ctx": 8192}, "sized")
    assert told(at(None), messages=long, options={"num_ctx": 2048})[:2] == ({"num_ctx": 8192}, "sized")


def test_warn_changes_nothing_and_says_so_and_passthrough_does_nothing() -> None:
    asked = {"num_ctx": 4096}
    options, action, made = told(at(32768), mode="warn", options=asked)
    assert (options, action) == (asked, "warned")
    assert any(note.startswith("context.warned") for note in made.notes)
    assert told(at(32768), mode="warn")[:2] == (None, "none")
    assert told(at(32768), mode="passthrough", options=asked)[:2] == (asked, "none")
    assert told(at(4096), mode="passthrough", messages=[{"role": "user", "content": "x" * 20_000}])[1] == "overflow"


@pytest.mark.parametrize("kind", ["ollama", "llama"])
def test_what_cannot_be_told_a_context_is_left_alone_and_an_overflow_is_said(kind: str) -> None:
    assert told(at(4096, kind=kind), "/v1/chat/completions")[:2] == (None, "none")
    long = [{"role": "user", "content": "x" * 20_000}]
    assert told(at(4096, kind=kind), "/v1/chat/completions", messages=long)[1] == "overflow"


def test_a_context_that_is_not_known_changes_nothing() -> None:
    way = at(4096)
    unknown = replace(way, model=replace(way.model, context_length=None))
    options, action, made = told(unknown, options={"num_ctx": 65536})
    assert (options, action) == ({"num_ctx": 65536}, "none")
    assert "loaded=unknown" in dict(made.headers)["x-fleet-context"]


def test_who_loads_a_model_by_name_of_a_context_gets_that_context() -> None:
    assert told(at(32768), "/api/generate", prompt="", options={"num_ctx": 4096})[0] == {"num_ctx": 4096}
    assert told(at(32768), "/api/generate", prompt="")[0] == {"num_ctx": 32768}


contexts = st.integers(1, 300_000)


@given(
    asked=st.none() | contexts, estimate=contexts, loaded=st.none() | st.just(0) | contexts, most=st.none() | contexts
)
def test_a_loaded_model_is_loaded_anew_only_for_more_and_never_for_more_than_it_can(
    asked: int | None, estimate: int, loaded: int | None, most: int | None
) -> None:
    sizing = size(asked=asked, estimate=estimate, loaded=loaded, most=most)
    if sizing.num_ctx is not None:
        assert loaded is not None
        assert sizing.num_ctx >= min(loaded, most or loaded)
        assert sizing.num_ctx == loaded or most is None or sizing.num_ctx <= most
        assert sizing.num_ctx >= min(estimate, most or estimate)


@pytest.mark.parametrize(("n", "power"), [(-1, 2048), (0, 2048), (1, 1), (4096, 4096), (4097, 8192)])
def test_powers_of_two(n: int, power: int) -> None:
    assert power_of_two(n) == power


def test_an_override_is_named_where_the_request_names_no_context_and_the_protection_comes_after_it() -> None:
    said = {"SmolLM2:135m": 16384}
    assert told(at(None), said=said)[:2] == ({"num_ctx": 16384}, "override")
    assert told(at(None), mode="passthrough", said=said)[:2] == ({"num_ctx": 16384}, "override")
    assert told(at(8192), said=said)[:2] == ({"num_ctx": 16384}, "reloaded")
    assert told(at(32768), said=said)[:2] == ({"num_ctx": 32768}, "kept")
    assert told(at(None), said=said, options={"num_ctx": 2048})[0] == {"num_ctx": 2048}
    assert told(at(None), said={"other:1": 16384})[0] is None
    assert told(at(None, kind="llama"), "/v1/chat/completions", said=said)[0] is None


def test_an_override_counts_where_the_node_is_chosen() -> None:
    said = LanguageModels(dynamic_num_ctx=True, num_ctx_overrides={"a:latest": 16384})
    body = {"model": "a", "messages": MESSAGES}
    assert job("/api/chat", body, settings=said).demand.context_needed == 16384
    assert job("/api/chat", body).demand.context_needed < 100


@pytest.mark.parametrize(
    ("p99", "most", "wanted"),
    [
        (0, 0, 4096), (100, 0, 4096), (2730, 0, 4096), (2731, 0, 4096), (5461, 0, 8192), (5462, 0, 16384),
        (5409, 8675, 16384), (34721, 0, 65536),
    ],
)  # fmt: skip
def test_the_golden_recommendations(p99: int, most: int, wanted: int) -> None:
    assert recommended(p99, most) == wanted


def used(requests: int = 20, p99: int = 2000, context: int = 32768) -> list[ContextUse]:
    return [ContextUse(model="a:latest", requests=requests, p99_tokens=p99, most_tokens=0, context=context)]


@pytest.mark.parametrize(
    ("uses", "overrides", "due"),
    [
        (used(), {}, {"a:latest": 4096}),
        (used(requests=19), {}, None),
        (used(context=16384), {}, None),
        (used(context=0), {}, None),
        (used(), {"a": 8192}, None),
        (used(), {"a": 8193}, {"a:latest": 4096}),
    ],
)
def test_an_override_is_written_for_a_context_that_is_far_too_large(
    uses: list[ContextUse], overrides: dict[str, int], due: dict[str, int] | None
) -> None:
    revise = revision(LanguageModels(num_ctx_auto_calculate=True, num_ctx_overrides=overrides))
    assert revise is not None
    assert revise(uses) == ({"num_ctx_overrides": due} if due else {})
    assert revision(LanguageModels(num_ctx_overrides=overrides)) is None
