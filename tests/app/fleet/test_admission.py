"""Who may call itself a node."""

import itertools

import pytest

from app.fleet.admission import WAITING_MOST, WINDOW_S, Admission, hash_token
from app.settings.schema import Join
from app.store.records import NodeRecord

LAN = "192.168.1.20"


def admission(*records: NodeRecord, join: Join = "window", first_start: float = 0.0) -> Admission:
    numbers = itertools.count(1)
    return Admission(records, join=join, first_start=first_start, new_token=lambda: f"token-{next(numbers)}")


def test_a_machine_joins_in_the_first_ten_minutes_and_is_bound_to_its_token() -> None:
    door = admission()
    first = door.decide("mac", "", LAN, WINDOW_S - 1)
    assert (first.status, first.token) == ("admitted", "token-1")
    assert first.record is not None
    assert first.record.token_hash == hash_token("token-1")
    assert door.decide("mac", "token-1", LAN, 9e9).status == "admitted"
    assert door.decide("mac", "token-2", LAN, 1.0).status == "refused"
    assert door.decide("mac", "", LAN, 1.0).status == "refused"


def test_a_known_name_needs_its_token_from_loopback_too() -> None:
    door = admission()
    token = door.decide("mac", "", "127.0.0.1", 0.0).token
    assert door.decide("mac", token, "127.0.0.1", 0.5).status == "admitted"
    assert door.decide("mac", "", "127.0.0.1", 1.0).status == "refused"


def test_a_machine_whose_token_was_lost_on_the_way_gets_another_until_it_has_shown_one() -> None:
    door = admission()
    lost = door.decide("mac", "", LAN, 0.0).token
    assert door.decide("mac", "", "192.168.1.66", 1.0).status == "refused"
    again = door.decide("mac", "", LAN, WINDOW_S + 5)
    assert again.token not in ("", lost)
    assert again.record is not None
    assert door.decide("mac", lost, LAN, WINDOW_S + 6).status == "refused"
    assert door.decide("mac", again.token, LAN, WINDOW_S + 7).status == "admitted"
    assert door.decide("mac", "", LAN, WINDOW_S + 8).status == "refused"


def test_after_the_window_a_machine_waits_until_it_is_approved() -> None:
    door = admission()
    assert door.decide("mac", "", LAN, WINDOW_S + 1).status == "waiting"
    assert [record.node_id for record in door.waiting()] == ["mac"]
    assert door.approve("mac", WINDOW_S + 2) is not None
    assert door.waiting() == ()
    assert door.decide("mac", "", LAN, WINDOW_S + 3).token == "token-1"


def test_an_approval_counts_only_for_the_address_that_had_asked() -> None:
    door = admission(join="approve")
    door.decide("mac", "", LAN, 1.0)
    assert door.decide("mac", "", "192.168.1.66", 1.5).status == "refused"
    door.approve("mac", 2.0)
    assert door.decide("mac", "", "192.168.1.66", 3.0).status == "refused"
    assert door.decide("mac", "", LAN, 4.0).status == "admitted"


def test_loopback_joins_at_any_time_unless_the_name_is_taken() -> None:
    door = admission(join="approve")
    assert door.decide("mac", "", "127.0.0.1", 9e9).status == "admitted"
    assert door.decide("pc", "", "::1", 9e9).status == "admitted"


def test_open_admits_everybody_and_approve_nobody_of_the_lan() -> None:
    assert admission(join="open").decide("mac", "", LAN, 9e9).status == "admitted"
    assert admission(join="approve").decide("mac", "", LAN, 0.0).status == "waiting"


def test_an_admission_survives_the_router() -> None:
    record = admission().decide("mac", "", LAN, 1.0).record
    assert record is not None
    later = admission(record)
    assert later.decide("mac", "token-1", "192.168.1.77", 9e9).status == "admitted"
    assert later.decide("mac", "x", LAN, 9e9).status == "refused"


def test_a_forgotten_name_is_free_again() -> None:
    door = admission()
    door.decide("mac", "", LAN, 1.0)
    assert door.forget("mac")
    assert door.decide("mac", "", LAN, 2.0).token == "token-2"


def test_the_list_of_the_waiting_is_bounded() -> None:
    door = admission(join="approve")
    for number in range(WAITING_MOST):
        assert door.decide(f"n{number}", "", LAN, 1.0).status == "waiting"
    assert door.decide("one-more", "", LAN, 1.0).status == "refused"


@pytest.mark.parametrize("name", ["", "<img src=x>", "a b", "-a", "a/b", "a" * 64, "a\n", "ä"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    assert admission(join="open").decide(name, "", "127.0.0.1", 0.0).status == "refused"


def test_a_clock_that_went_back_before_the_first_start_does_not_open_the_window() -> None:
    assert admission(first_start=1000.0).decide("mac", "", LAN, 500.0).status == "waiting"
