"""Compressed bodies: unpacked within bounds, whole or refused in the caller's dialect."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from backports import zstd
from fakes.fake_ollama import FakeOllama
from hypothesis import given, settings
from hypothesis import strategies as st
from running import running_router

from app.errors import BodyInvalid, EncodingUnknown, TooLarge
from app.modalities.encoding import encoding_of, plain

MODEL = "smollm2:135m"
BODY = {"model": MODEL, "stream": False, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": BODY,
    "/api/generate": {"model": MODEL, "prompt": "Hi", "stream": False},
    "/v1/chat/completions": BODY,
    "/v1/completions": {"model": MODEL, "prompt": "Hi"},
    "/v1/messages": BODY,
    "/v1/messages/count_tokens": BODY,
    "/v1/responses": {"model": MODEL, "input": "Hi"},
}
PACKED = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("path", BODIES)
async def test_every_inference_path_takes_zstd_and_gzip_and_says_what_it_does_not_take(path: str) -> None:
    async with FakeOllama() as fake, running_router(server={"body_max_bytes": 100_000}) as router:
        await router.join("a", fake)
        text = json.dumps(BODIES[path]).encode()
        for name, pack in PACKED.items():
            answer = await router.http.post(path, content=pack(text), headers={"Content-Encoding": name})
            assert answer.status_code == 200, (name, answer.text)
            bomb = pack(b" " * 50_000_000)
            assert len(bomb) < 100_000
            answer = await router.http.post(path, content=bomb, headers={"Content-Encoding": name})
            assert answer.status_code == 413, name
        for headers in ({"Content-Encoding": "br"}, {"Content-Encoding": "gzip, zstd"}):
            answer = await router.http.post(path, content=text, headers=headers)
            assert answer.status_code == 415
            told = answer.json()["error"]
            assert "zstd" in (told["message"] if path.startswith("/v1") else told)
            assert ("type" in answer.json()) == path.startswith("/v1/messages")
        assert all(request.header("content-encoding") is None for request in fake.requests)
        assert all(request.body.startswith(b"{") for request in fake.requests if request.method == "POST")


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=5000), st.sampled_from(sorted(PACKED)))
def test_a_body_comes_out_as_it_went_in_unless_it_is_larger_than_allowed(body: bytes, name: str) -> None:
    packed = PACKED[name](body)
    assert asyncio.run(plain(packed, name, len(body))) == body
    if body:
        with pytest.raises(TooLarge):
            asyncio.run(plain(packed, name, len(body) - 1))
        for broken in (packed[:-1], packed + b"x", body[:1] * 20):
            with pytest.raises(BodyInvalid):
                asyncio.run(plain(broken, name, len(body)))


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=100), st.sampled_from(sorted(PACKED)))
def test_whatever_bytes_are_called_compressed_only_a_request_error_is_raised(body: bytes, name: str) -> None:
    with pytest.raises(BodyInvalid):
        asyncio.run(plain(body, name, 1000))


async def test_a_window_that_would_take_gigabytes_is_refused() -> None:
    wide = zstd.compress(b"x" * 100, options={zstd.CompressionParameter.window_log: 27})
    streamed = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    piece = streamed.compress(b"x" * 100) + streamed.flush()
    assert await plain(wide, "zstd", 1000) == b"x" * 100
    with pytest.raises(BodyInvalid):
        await plain(piece, "zstd", 1000)


def test_an_encoding_is_known_by_its_names() -> None:
    assert [encoding_of([(b"content-encoding", name)]) for name in (b"gzip", b"X-GZIP", b" zstd ", b"identity")] == [
        "gzip", "gzip", "zstd", "",
    ]  # fmt: skip
    assert encoding_of([(b"content-type", b"gzip")]) == ""
    for unknown in (b"br", b"deflate", b"zstd, gzip"):
        with pytest.raises(EncodingUnknown):
            encoding_of([(b"content-encoding", unknown)])
