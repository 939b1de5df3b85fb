"""A flag, a variable or the file beats what was stored, that beats the default, and the source says which."""

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.modalities.sections import found
from app.settings.ranges import RANGES, refusal
from app.settings.resolve import LOCKING, SettingInvalid, overlay, sections, value_of, with_value
from app.settings.schema import Server, Settings
from app.store.records import SettingRecord

DEFAULT = Settings(modalities=found())
NUMBERS = [
    (section, known.name)
    for section, values in sections(DEFAULT)
    for known in fields(values)
    if isinstance(known.default, int | float) and not isinstance(known.default, bool)
]


def stored(section: str, key: str, value: Any) -> SettingRecord:
    return SettingRecord(section=section, key=key, value=value, changed_at=0)


def test_no_two_sections_have_a_setting_of_one_name() -> None:
    names = [known.name for _, values in sections(DEFAULT) for known in fields(values)]
    assert len(names) == len(set(names))


def test_every_default_is_in_its_range_and_every_range_belongs_to_a_setting() -> None:
    for _, values in sections(DEFAULT):
        for known in fields(values):
            assert refusal(known, getattr(values, known.name)) == ""
    assert set(RANGES) <= {key for _, key in NUMBERS}


@given(
    setting=st.sampled_from([one for one in NUMBERS if one[1] not in RANGES or RANGES[one[1]][1] >= 90]),
    given_value=st.one_of(st.none(), st.integers(1, 90)),
    source=st.sampled_from(LOCKING),
    stored_value=st.one_of(st.none(), st.integers(1, 90)),
)
def test_who_sets_it_outside_beats_stored_beats_default(
    setting: tuple[str, str], given_value: int | None, source: Any, stored_value: int | None
) -> None:
    section, key = setting
    settings, sources = DEFAULT, {}
    if given_value is not None:
        settings, sources = with_value(DEFAULT, section, key, given_value), {key: source}
    records = [] if stored_value is None else [stored(section, key, stored_value)]
    resolved = overlay(settings, sources, records)
    first = next((value for value in (given_value, stored_value) if value is not None), value_of(DEFAULT, key))
    assert value_of(resolved.settings, key) == first
    expected = source if given_value is not None else "stored" if stored_value is not None else "default"
    assert resolved.source(key) == expected
    others = [known for _, known in NUMBERS if known != key]
    assert all(value_of(resolved.settings, other) == value_of(DEFAULT, other) for other in others)


@given(
    key=st.sampled_from(["port", "join", "nothing"]),
    value=st.recursive(st.none() | st.integers() | st.text(), st.lists),
)
def test_a_stored_value_that_no_longer_fits_is_passed_over_and_said(key: str, value: Any) -> None:
    resolved = overlay(DEFAULT, {}, [stored("server", key, value)])
    assert (resolved.settings != DEFAULT or resolved.source(key) == "stored") == (not resolved.problems)


def test_what_is_no_setting_is_left_alone_without_complaint() -> None:
    resolved = overlay(DEFAULT, {}, [stored("fleet", "id", "abc")])
    assert (resolved.settings, resolved.problems) == (DEFAULT, ())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "port", 70000),
        ("server", "port", "11435"),
        ("server", "port", True),
        ("server", "mdns", 1),
        ("server", "join", "anybody"),
        ("server", "__class__", 1),
        ("nowhere", "port", 1),
        ("queue", "hold_timeout", math.nan),
        ("queue", "hold_timeout", -1),
        ("queue", "hold_timeout", math.inf),
        ("heartbeat", "heartbeat_interval", 0),
        ("llm", "thinking_overhead", 0.5),
        ("llm", "context_protection", "sometimes"),
        ("llm", "num_ctx_overrides", {"m:1": 0}),
        ("llm", "num_ctx_overrides", {"m:1": "many"}),
        ("modalities", "llm", {}),
    ],
)
def test_a_value_that_a_setting_may_not_hold_is_refused(section: str, key: str, value: Any) -> None:
    with pytest.raises(SettingInvalid):
        with_value(DEFAULT, section, key, value)


def test_values_are_converted_to_their_fields_type() -> None:
    changed = with_value(with_value(DEFAULT, "queue", "hold_timeout", 3), "server", "data_dir", "~/x")
    assert isinstance(changed.queue.hold_timeout, float)
    assert changed.data_dir.is_absolute()
    assert changed.server.port == Server().port
