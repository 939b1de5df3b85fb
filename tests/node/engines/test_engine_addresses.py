"""Addresses are understood as people write them, and what cannot be understood is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.addresses import Address, address_of, flag


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
        ("http://gpu:8000/llm/v1", "http://gpu:8000/llm"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("http://gpu", "http://gpu:80"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        (":9999", "http://127.0.0.1:9999"),
        ("", "http://127.0.0.1:11434"),
        ("[::1]:7", "http://[::1]:7"),
        ("[::]", "http://127.0.0.1:11434"),
        ("studio.local", "http://studio.local:11434"),
        ("HTTP://Studio:1", "http://studio:1"),
    ],
)
def test_an_address_is_made_uniform(told, url):
    assert address_of(told, default_port=11434).url == url


@pytest.mark.parametrize(
    "told",
    [
        "ftp://x:1",
        "http://x:99999",
        "http://x:y",
        "http://u:p@x:1",
        "http://x:1/?q",
        "a b",
        "http://x y:1",
        "http://[x",
        "file:///etc",
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(told):
    with pytest.raises(ValueError, match=r"\w+ \w+.*\."):
        address_of(told, default_port=11434)


@pytest.mark.parametrize(
    ("told", "name", "url"),
    [
        ("gpu=http://127.0.0.1:8080", "gpu", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080", "", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/a=b", "", "http://127.0.0.1:8080/a=b"),
        ("my-gpu.2=https://gpu/v1", "my-gpu.2", "https://gpu:443"),
    ],
)
def test_a_flag_is_a_name_and_an_address_or_an_address(told, name, url):
    named = flag(told)
    assert (named.name, named.address.url, named.kind) == (name, url, "")


@pytest.mark.parametrize(
    ("told", "kind", "name", "url"),
    [
        ("image:sd=http://127.0.0.1:7860", "image", "sd", "http://127.0.0.1:7860"),
        ("stt:http://127.0.0.1:8080", "stt", "", "http://127.0.0.1:8080"),
        ("embed:tei=https://gpu/v1", "embed", "tei", "https://gpu:443"),
        ("rerank:r=http://x:1/a=b:c", "rerank", "r", "http://x:1/a=b:c"),
        ("llm:http=http://x:1", "llm", "http", "http://x:1"),
    ],
)
def test_the_kind_of_work_may_stand_before_all(told, kind, name, url):
    named = flag(told)
    assert (named.kind, named.name, named.address.url) == (kind, name, url)


@pytest.mark.parametrize("told", ["speech:w=http://x:1", "STT:w=http://x:1", "images:http://x:1"])
def test_an_unknown_kind_is_told_with_those_there_are(told):
    with pytest.raises(ValueError, match=r"--engine .* is no kind of engine; there are llm, embed, .*\."):
        flag(told)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("http://127.0.0.1:8080", "engine-8080"),
        ("stt:http://127.0.0.1:8080", "stt-8080"),
        ("http://gpu:8080", "gpu-8080"),
        ("image:http://gpu:8080", "gpu-image-8080"),
        ("image:sd=http://gpu:8080", "sd"),
    ],
)
def test_an_engine_without_a_name_is_called_by_kind_and_place(told, name):
    assert flag(told).called([]) == name


@pytest.mark.parametrize(
    "told",
    [
        "",
        "=",
        "gpu=",
        "gpu",
        "GPU=http://x:1",
        "a/b=http://x:1",
        "=http://x:1",
        "gpu=127.0.0.1:8080",
        f"{'x' * 41}=http://x:1",
    ],
)
def test_a_malformed_flag_is_refused_with_a_sentence(told):
    with pytest.raises(ValueError, match=r"--engine .*\."):
        flag(told)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(told):
    for read in (lambda: address_of(told, default_port=1), lambda: flag(told).address):
        try:
            address = read()
        except ValueError:
            continue
        assert address_of(address.url) == address


def test_all_names_of_this_machine_are_the_same_engine():
    lan = ["192.168.1.5"]
    here = [Address("http", host, 8080) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "192.168.1.5")]
    assert len({address.same(lan) for address in here}) == 1
    assert Address("http", "192.168.1.6", 8080).same(lan) != here[0].same(lan)
    assert not Address("http", "192.168.1.6", 8080).here(lan)
