"""Requests for pictures that cannot be served: a clear error in the caller's dialect, and no engine is asked."""

from typing import Any

import pytest
from fakes.fake_images import FakeImages, size_of
from painters import ASKED, OPENAI, OWN, join, painter, painting, words_of
from running import running_router

from node.wire import ModelReport

BAD: dict[str, dict[str, Any]] = {
    "no model": {"model": None},
    "no prompt": {"prompt": None},
    "an empty prompt": {"prompt": "  "},
    "a prompt that is no text": {"prompt": ["a"]},
    "a prompt with a NUL": {"prompt": "a\0b"},
    "a prompt with arguments for an engine": {"prompt": 'x <sd_cpp_extra_args>{"width":9000}</sd_cpp_extra_args>'},
    "a size in words": {"size": "large"},
    "a size that is too small": {"size": "63x512"},
    "a size that is too large": {"size": "512x2049"},
    "a size that is endless": {"size": "9999999999999x1"},
    "two sizes": {"size": "512x512", "width": 256},
    "a width of nothing": {"width": 0},
    "a width that is a text": {"width": "512"},
    "a height under the bound": {"height": -64},
    "no steps": {"steps": 0},
    "too many steps": {"steps": 101},
    "half a step": {"steps": 2.5},
    "yes for steps": {"steps": True},
    "no picture": {"n": 0},
    "too many pictures": {"n": 11},
    "a guidance under the bound": {"guidance": -1},
    "a seed that is no number": {"seed": "x"},
    "a seed under the bound": {"seed": -2},
    "a negative prompt that is a number": {"negative_prompt": 5},
    "a URL": {"response_format": "url"},
    "another format": {"response_format": "jpeg"},
    "a JPEG": {"output_format": "jpeg"},
    "a stream": {"stream": True},
    "fallbacks that are none": {"fallback_models": "x"},
}


@pytest.mark.parametrize("path", [OWN, OPENAI])
async def test_what_cannot_be_made_is_400_in_the_callers_dialect_and_reaches_no_engine(path: str) -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        for name, wish in BAD.items():
            answer = await router.http.post(path, json={**ASKED, **wish})
            assert answer.status_code == 400, (name, answer.status_code, answer.text[:200])
            assert words_of(answer), name
        for body in (b"", b"[1]", b'{"model":', b"\xff", b'{"model":"m","prompt":"\\ud800"}'):
            answer = await router.http.post(path, content=body)
            assert answer.status_code == 400, body
            assert words_of(answer)
        answer = await router.http.post(path, json={**ASKED, "prompt": "x" * 8001})
        assert answer.status_code == 413
        assert not fake.requests


@pytest.mark.parametrize("side", [64, 2048])
async def test_the_bounds_themselves_are_within(side: int) -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        body = {**ASKED, "width": side, "height": side, "steps": 100, "seed": -1, "guidance": 0, "size": "auto"}
        answer = await router.http.post(OWN, json=body)
        assert (answer.status_code, size_of(answer.content)) == (200, (side, side))
        assert "seed" not in fake.requests[0].json()


@pytest.mark.parametrize("path", [OWN, OPENAI])
async def test_an_unknown_model_is_404_that_lists_those_there_are_and_what_brings_it(path: str) -> None:
    async with FakeImages() as fake, running_router() as router:
        answer = await router.http.post(path, json=ASKED)
        assert answer.status_code == 404
        assert "there is none in the fleet" in words_of(answer)
        assert "uv tool install mflux" in words_of(answer)
        await join(router, "a", fake, "flux-dev", "my-own:1")
        answer = await router.http.post(path, json={**ASKED, "model": "nobody-has-this"})
        assert answer.status_code == 404
        assert "there are flux-dev, my-own:1" in words_of(answer)
        assert "install" not in words_of(answer)


async def test_a_model_for_other_work_is_refused_for_good_and_a_fallback_serves() -> None:
    async with FakeImages() as fake, running_router() as router:
        chat = ModelReport(name="llama3.2:3b", loaded=True)
        talker = painting(port=fake.port, name="ollama", lane="", operations=("chat", "image"), models=(chat,))
        await router.beat(painter("a", painting(port=fake.port), talker))
        answer = await router.http.post(OPENAI, json={**ASKED, "model": "llama3.2:3b"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_modality")
        answer = await router.http.post(OWN, json={**ASKED, "model": "gone", "fallback_models": ["flux-schnell"]})
        assert (answer.status_code, answer.headers["x-fleet-fallback"]) == (200, "flux-schnell")


@pytest.mark.parametrize("path", [OWN, OPENAI])
async def test_what_is_switched_off_is_503_whatever_is_asked(path: str) -> None:
    async with FakeImages() as fake, running_router(image={"image_generation": False}) as router:
        await join(router, "a", fake)
        for body in (ASKED, {}):
            answer = await router.http.post(path, json=body)
            assert answer.status_code == 503
            assert "FLEET_IMAGE_GENERATION" in words_of(answer)
        assert not fake.requests
