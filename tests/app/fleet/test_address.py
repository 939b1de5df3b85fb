"""Where an engine is reached."""

import pytest
from builders import engine, node

from app.fleet.address import DOOR_HEADER, base_url


def where(reach: str, peer: str, *, advertise: str = "", allowed: tuple[str, ...] = ()) -> tuple:
    one = engine(port=11434, reach=reach)
    beat = node("a", engines=(one,), door_port=11436, door_secret="s3cret", advertise_host=advertise)
    return base_url(beat, one, peer, allowed)


def test_an_engine_on_the_lan_is_called_directly() -> None:
    assert where("lan", "192.168.1.20") == ("http://192.168.1.20:11434", ())


def test_an_engine_on_loopback_is_called_through_the_door_with_the_nodes_secret() -> None:
    assert where("loopback", "192.168.1.20") == (
        "http://192.168.1.20:11436/engines/ollama",
        ((DOOR_HEADER, "s3cret"),),
    )


def test_an_engine_on_the_routers_own_machine_needs_no_door() -> None:
    assert where("loopback", "127.0.0.1") == ("http://127.0.0.1:11434", ())
    assert where("loopback", "::ffff:127.0.0.1") == ("http://127.0.0.1:11434", ())


def test_a_host_that_the_node_names_is_not_believed_unless_the_operator_allowed_it() -> None:
    assert where("lan", "192.168.1.20", advertise="10.9.9.9")[0] == "http://192.168.1.20:11434"
    assert where("lan", "192.168.1.20", advertise="10.9.9.9", allowed=("10.9.9.9",))[0] == "http://10.9.9.9:11434"


def test_ipv6_addresses_stand_in_brackets() -> None:
    assert where("lan", "fd00::2")[0] == "http://[fd00::2]:11434"


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_a_port_that_is_none_goes_through_the_door(port: int) -> None:
    one = engine(port=port, reach="lan")
    beat = node("a", engines=(one,), door_port=11436)
    assert base_url(beat, one, "192.168.1.20", ())[0].startswith("http://192.168.1.20:11436/engines/")
