"""What names tell: lookups, categories, and that the shipped catalogue is sound. Knows no node."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import Catalog, CatalogInvalid, ModelSpec, load

CATALOG = load((Path(__file__).parents[2] / "app" / "modalities" / "llm" / "catalog.toml").read_text())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("llama3.3:70b", "llama3.3:70b"),
        ("LLAMA3.3:70B", "llama3.3:70b"),
        ("llama3.3", "llama3.3:70b"),
        ("llama3.3:latest", "llama3.3:70b"),
        ("gemma3", "gemma3:4b"),
        ("gemma3:27b-it-q8_0", "gemma3:27b"),
        ("qwen3:30b-a3b-thinking-2507-q4_K_M", "qwen3:30b-a3b"),
        ("gemma3:9b", None),
        ("gemma3:27", None),
        ("gemma", None),
        ("nobody/knows-this:7b", None),
        ("", None),
    ],
)
def test_a_name_finds_its_model_or_that_of_which_it_is_a_variant(asked: str, found: str | None) -> None:
    spec = CATALOG.lookup(asked)
    assert (spec.name if spec else None) == found


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("deepseek-r1:8b", "reasoning"),
        ("gemma3:1b", "fast-chat"),
        ("gemma3:999b", "general"),
        ("mistral-nemo", "creative"),
        ("codestral:22b", "coding"),
        ("hf.co/someone/Qwen9-Coder-GGUF:Q4_K_M", "coding"),
        ("bigcode/StarCoder9", "coding"),
        ("deepseek-r1-distill-tiny", "reasoning"),
        ("acme/phi-4-exp", "reasoning"),
        ("acme/deep-reasoning", "reasoning"),
        ("storyteller:7b", "creative"),
        ("coder-friends/plain:7b", "general"),
        ("x/z-image-turbo", "image"),
        ("whatever", "general"),
        ("", "general"),
    ],
)
def test_the_category_comes_from_the_catalogue_then_the_family_then_the_words_of_the_name(
    name: str, category: str
) -> None:
    assert CATALOG.category(name) == category


def test_the_catalogue_goes_before_the_words_of_a_name() -> None:
    story = Catalog([ModelSpec(name="storyboard:7b", family="storyboard", category="vision")])
    assert story.category("storyboard:7b-q8_0") == "vision"
    assert Catalog.empty().category("storyboard:7b") == "creative"


def test_of_two_joined_catalogues_the_first_counts() -> None:
    mine = Catalog([ModelSpec(name="llama3.3:70b", family="mine", category="coding")])
    both = Catalog.joined([mine, CATALOG])
    assert both.category("llama3.3:70b") == "coding"
    assert len(both.models) == len(CATALOG.models)


@given(st.text())
def test_any_name_has_a_category(name: str) -> None:
    assert CATALOG.category(name)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models = 3", "$.models"),
        ('models = [{ name = "a", family = "a" }]', "category"),
        ('models = [{ name = "a", family = "a", category = "b", sise = 1 }]', "$.models[0]"),
        ("models = [", "end of document"),
    ],
)
def test_a_mistake_in_a_catalogue_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(CatalogInvalid) as refused:
        load(text)
    assert place in str(refused.value)


def test_the_shipped_catalogue_is_plausible() -> None:
    assert len(CATALOG.models) >= 40
    for spec in CATALOG.models:
        assert spec.name.startswith(spec.family + ":"), spec.name
        assert {spec.category, *spec.also} <= {"general", "coding", "reasoning", "creative", "fast-chat", "vision"}
        if spec.size_bytes is not None and spec.parameters_b:
            bits = spec.size_bytes * 8 / (spec.parameters_b * 1e9)
            assert 4 <= bits <= 17, f"{spec.name} has {bits:.1f} bits for each parameter"
        assert spec.active_b is None or spec.active_b < spec.parameters_b, spec.name
        assert spec.context is None or spec.context % 1024 == 0, spec.name
