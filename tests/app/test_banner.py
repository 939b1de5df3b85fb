"""What a person reads at the start holds every address that is needed next."""

from pathlib import Path
from typing import Any

import pytest

from app.banner import banner
from app.settings.schema import Server, Settings


def shown(addresses: list[str], **server: Any) -> str:
    settings = Settings(server=Server(data_dir=Path("/home/me/herd"), **server))
    return banner(settings, addresses=addresses, admin_token="se/cret", version="1.2", fleet_id="abc")


def test_it_names_both_dialects_the_dashboard_and_the_admin_link() -> None:
    text = shown(["10.0.0.5", "fd00::1"])
    for part in (
        "Herd 1.2  fleet abc",
        "http://10.0.0.5:11435/v1",
        "http://10.0.0.5:11435\n",
        "http://10.0.0.5:11435/dashboard#admin=se%2Fcret",
        "http://[fd00::1]:11435",
        "herd node --router-url http://10.0.0.5:11435",
        str(Path("/home/me/herd/logs/herd.jsonl")),
    ):
        assert part in text


@pytest.mark.parametrize(
    ("addresses", "host", "base"),
    [
        ([], "0.0.0.0", "http://127.0.0.1:11435"),
        (["10.0.0.5"], "::", "http://10.0.0.5:11435"),
        (["10.0.0.5"], "127.0.0.1", "http://127.0.0.1:11435"),
        (["10.0.0.5"], "::1", "http://[::1]:11435"),
    ],
)
def test_links_name_an_address_that_is_listened_on(addresses: list[str], host: str, base: str) -> None:
    assert f"{base}/dashboard" in shown(addresses, host=host)


def test_without_mdns_a_node_is_told_where_the_router_is() -> None:
    text = shown(["10.0.0.5"], mdns=False)
    assert "finds this router" not in text
    assert "herd node --router-url http://10.0.0.5:11435" in text
