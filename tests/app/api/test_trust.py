"""Hosts, origins and the admin's key."""

import pytest

from app.api.trust import AdminKey, host_allowed, origin_allowed


@pytest.mark.parametrize(
    "host",
    ["localhost:11435", "127.0.0.1:11435", "192.168.1.5", "[::1]:11435", "[fe80::1%eth0]", "studio", "studio.local:80",
     "herd.lan", "box.home.arpa", "studio.tail1.ts.net", "named.example.org:1"],
)  # fmt: skip
def test_local_names_and_addresses_are_this_router(host: str) -> None:
    assert host_allowed(host, {"named.example.org"})


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "evil.example.com:11435", "", "a.b.evil.com", "x@localhost.evil.com", "127.0.0.1.nip.io"],
)
def test_foreign_names_are_not(host: str) -> None:
    assert not host_allowed(host, set())


def allowed(origin: str = "", site: str = "", *, inference: bool = False, origins: set[str] = frozenset()) -> bool:
    return origin_allowed(origin, site, "192.168.1.5:11435", origins, inference=inference)


def test_programs_that_are_no_browsers_are_not_affected() -> None:
    assert allowed()


def test_the_routers_own_pages_may_act_and_foreign_pages_may_not() -> None:
    assert allowed("http://192.168.1.5:11435", "same-origin")
    assert allowed(site="none")
    assert not allowed("http://evil.example.com", "cross-site")
    assert not allowed("http://evil.example.com")
    assert not allowed(site="cross-site")
    assert not allowed(site="same-site")
    assert not allowed("null", "cross-site", inference=True)


def test_local_pages_and_apps_may_ask_for_inference_but_not_administer() -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:8080", "tauri://localhost", "vscode-webview://abc"):
        assert allowed(origin, "cross-site", inference=True)
        assert not allowed(origin, "cross-site")


def test_an_origin_that_the_operator_listed_may() -> None:
    assert allowed("https://chat.example.org", "cross-site", origins={"https://chat.example.org"})


def test_the_cookie_is_a_proof_and_not_the_token() -> None:
    key = AdminKey("secret-token")
    assert key.opens("secret-token")
    assert not key.opens("secret-tokem")
    assert not key.opens("")
    assert "secret-token" not in key.proof
    assert key.proves(key.proof)
    assert not key.proves("secret-token")
    assert not AdminKey("another").proves(key.proof)
