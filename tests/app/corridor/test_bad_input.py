"""What clients send that cannot be served: a clear error in their dialect, never a 500."""

import pytest
from fakes.fake_ollama import FakeOllama
from running import running_router

PATHS = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"]
BODIES: dict[str, bytes] = {
    "empty": b"",
    "broken": b'{"model": "m",',
    "array": b"[1, 2]",
    "string": b'"model"',
    "number": b"5",
    "null": b"null",
    "no model": b'{"messages": []}',
    "empty model": b'{"model": ""}',
    "model is a number": b'{"model": 5}',
    "model is null": b'{"model": null}',
    "invalid utf-8": b'{"model": "\xff\xfe"}',
    "lone surrogate": b'{"model": "\\ud800"}',
    "deep nesting": b'{"model": "m", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge number": b'{"model": "m", "options": {"num_ctx": 1e999}, "temperature": 1e999}',
    "not a number": b'{"model": "m", "temperature": NaN}',
    "messages is text": b'{"model": "m", "messages": "hi", "prompt": 5}',
    "stream is text": b'{"model": "m", "stream": "yes", "messages": [], "prompt": ""}',
    "fallbacks are an object": b'{"model": "m", "fallback_models": {}, "messages": [], "prompt": ""}',
    "control characters": b'{"model": "a\\u0000b\\r\\nX-Evil: 1", "messages": [], "prompt": ""}',
    "endless name": b'{"model": "' + b"m" * 1_000_000 + b'", "messages": [], "prompt": ""}',
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_cannot_be_served_is_the_clients_error_in_its_dialect(path: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        for name, body in BODIES.items():
            answer = await router.http.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 404), (name, answer.status_code, answer.text[:200])
            error = answer.json()["error"]
            message = error["message"] if path.startswith("/v1") else error
            assert isinstance(message, str), name
            assert message, name
        assert not [request for request in fake.requests if request.method == "POST"]


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_model_is_404_in_the_callers_dialect_with_advice(path: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        body = {"model": "nobody-has-this", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}
        answer = await router.http.post(path, json=body)
        assert answer.status_code == 404
        error = answer.json()["error"]
        if path.startswith("/v1"):
            assert error["type"] == "model_not_found"
            error = error["message"]
        assert "nobody-has-this" in error
        assert "ollama pull" in error


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "", "application/json"])
async def test_a_json_body_is_accepted_whatever_its_content_type(content_type: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        body = b'{"model": "smollm2:135m", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}'
        for path in PATHS:
            answer = await router.http.post(path, content=body, headers={"Content-Type": content_type})
            assert answer.status_code == 200, (path, answer.text)


async def test_a_body_over_the_limit_is_413_before_it_is_read() -> None:
    async with FakeOllama() as fake, running_router(server={"body_max_bytes": 1000}) as router:
        await router.join("a", fake)
        big = b'{"model": "smollm2:135m", "prompt": "' + b"x" * 2000 + b'"}'
        assert (await router.http.post("/api/generate", content=big)).status_code == 413

        async def pieces():
            for _ in range(20):
                yield big

        assert (await router.http.post("/api/generate", content=pieces())).status_code == 413


async def test_an_unknown_path_and_a_wrong_method_speak_the_callers_dialect() -> None:
    async with running_router() as router:
        assert isinstance((await router.http.get("/api/nothing")).json()["error"], str)
        answer = await router.http.get("/v1/nothing")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "invalid_request_error")
        assert (await router.http.get("/api/chat")).status_code == 405
