"""The list of models that Herd recommends: dated, readable, and of one mind with the catalogue of language models."""

import re
from pathlib import Path

import pytest

from app import catalog
from app.insight import offers
from app.insight.offers import GB, Offer
from app.insight.recommend import ASKED_FIRST, CATEGORIES, Place, recommend

APP = Path(offers.__file__).parents[1]
OFFERS = offers.load((APP / "insight" / "offers.toml").read_text("utf-8"))
KNOWN = catalog.load((APP / "modalities" / "llm" / "catalog.toml").read_text("utf-8"))
SMALL_GB = 5.0


def test_the_list_is_dated_and_says_where_its_figures_come_from() -> None:
    assert re.fullmatch(r"20\d\d-\d\d", OFFERS.as_of)
    assert len(OFFERS.sources) >= 3


def test_every_name_is_there_once_with_a_tag() -> None:
    names = [offer.name for offer in OFFERS.models]
    assert len(names) == len(set(names))
    assert 30 <= len(names) <= 60
    assert all(re.fullmatch(r"[a-z0-9.-]+:[a-z0-9.-]+", name) for name in names)
    assert len({offer.title for offer in OFFERS.models}) == len(names)


@pytest.mark.parametrize("category", ASKED_FIRST)
def test_each_category_has_a_model_for_a_small_machine(category: str) -> None:
    assert OFFERS.best(category, SMALL_GB) is not None


@pytest.mark.parametrize("offer", OFFERS.models, ids=lambda offer: offer.name)
def test_an_offer_says_the_same_as_the_catalogue(offer: Offer) -> None:
    spec = KNOWN.named(offer.name)
    assert spec is not None
    assert (offer.family, offer.category) == (spec.family, spec.category)
    assert {offer.category, *offer.also} <= set(CATEGORIES)
    assert offer.active_b == spec.active_b
    assert offer.context == (spec.context or 0)
    assert offer.params_b == (spec.parameters_b or offer.params_b)
    assert spec.size_bytes is not None
    assert offer.disk_gb == pytest.approx(spec.size_bytes / GB, abs=0.06)
    assert 1.1 <= offer.ram_gb / (spec.size_bytes / GB) <= 1.35


@pytest.mark.parametrize("offer", OFFERS.models, ids=lambda offer: offer.name)
def test_ratings_are_percent_and_nobody_is_rated_without_a_figure(offer: Offer) -> None:
    assert all(figure is None or 20 <= figure <= 100 for figure in (offer.mmlu, offer.humaneval))
    assert bool(offer.quality) == (offer.mmlu is not None or offer.humaneval is not None)


def test_an_unrated_model_is_taken_only_where_no_rated_one_fits() -> None:
    for gb in range(2, 400, 3):
        for category in ASKED_FIRST:
            best = OFFERS.best(category, gb)
            rated = [one for one in OFFERS.models if one.serves(category) and one.ram_gb <= gb and one.quality]
            assert best is None or best.quality or not rated


@pytest.mark.parametrize("gb", [16, 64, 128, 512])
def test_every_usual_machine_gets_the_four_that_people_ask_for(gb: float) -> None:
    [plan] = recommend([Place(node_id="a", memory_gb=gb)], [], OFFERS)
    assert {"general", "coding", "reasoning", "creative"} <= {one.category for one in plan.recommendations}
