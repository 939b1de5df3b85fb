"""Pictures through the whole router, over real sockets: what reaches the engine, what comes back, what ends it."""

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes.fake_images import FakeImages, png, size_of
from fakes.scripted import failing, hang, replying
from painters import ASKED, OPENAI, OWN, join, painter, painting, words_of
from running import running_router

from node.wire import ModelReport


async def test_the_picture_itself_comes_from_the_own_door_with_who_made_it_and_how_long_it_took() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        answer = await router.http.post(OWN, json={**ASKED, "width": 640, "height": 384})
        assert (answer.status_code, size_of(answer.content)) == (200, (640, 384))
        told = answer.headers
        assert (told["content-type"], told["content-length"]) == ("image/png", str(len(answer.content)))
        assert (told["x-fleet-node"], told["x-fleet-model"]) == ("a", "flux-schnell")
        assert (told["x-image-model"], told["x-image-size"]) == ("flux-schnell", "640x384")
        assert int(told["x-generation-time"]) >= 0
        assert {"x-fleet-score", "x-request-id"} <= told.keys()


async def test_json_comes_from_openais_door() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        answer = await router.http.post(OPENAI, json={**ASKED, "n": 2, "size": "256x256"})
        data = answer.json()["data"]
        assert [size_of(base64.b64decode(one["b64_json"])) for one in data] == [(256, 256)] * 2
        assert [one["revised_prompt"] for one in data] == [ASKED["prompt"]] * 2
        assert answer.json()["created"] > 1_700_000_000
        assert "x-generation-time" in answer.headers
        png_itself = await router.http.post(OPENAI, json={**ASKED, "response_format": "png"})
        assert size_of(png_itself.content) == (1024, 1024)


async def test_every_wish_reaches_the_engine_and_what_is_not_said_is_left_to_it_but_for_the_steps() -> None:
    wishes = {
        "size": "512x256", "steps": 7, "guidance": 3.5, "seed": 42, "negative_prompt": "people", "quantize": 4, "n": 3,
    }  # fmt: skip
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake, "flux-schnell", "flux-dev", "unheard-of")
        assert (await router.http.post(OPENAI, json={**ASKED, **wishes, "quality": "hd", "style": "vivid"})).is_success
        for model, steps in (("flux-schnell", 4), ("flux-dev", 25), ("unheard-of", None)):
            assert (await router.http.post(OWN, json={**ASKED, "model": model})).is_success
            plain = {**ASKED, "model": model, "n": 1, "size": "1024x1024", "response_format": "b64_json"}
            assert fake.requests[-1].json() == plain | ({"steps": steps} if steps else {})
        assert fake.requests[0].json() == {**ASKED, **wishes, "response_format": "b64_json"}
        traces = await router.traces(4)
        assert traces[-1]["notes"] == ["fields.dropped quality, style"]
        assert traces[-2]["notes"] == ["steps.set 4"]


async def test_tags_of_body_header_and_user_stand_on_the_trace() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        body = {**ASKED, "metadata": {"tags": ["my-app"]}, "user": "ada"}
        assert (await router.http.post(OWN, json=body, headers={"X-Herd-Tags": "nightly"})).is_success
        [trace] = await router.traces()
        assert trace["tags"] == ["my-app", "nightly", "user:ada"]
        assert (trace["status"], trace["node_id"], trace["modality"]) == ("completed", "a", "image")
        assert not {"metadata", "user"} & fake.requests[0].json().keys()


@pytest.mark.parametrize("path", [OWN, OPENAI])
async def test_a_node_that_fails_is_made_good_by_another_and_when_all_fail_it_is_502(path: str) -> None:
    words = b'{"error":{"message":"mflux ended with 1: out of memory","type":"server_error","code":"engine_failed"}}'
    async with FakeImages() as first, FakeImages() as second, running_router() as router:
        await join(router, "a", first)
        await join(router, "b", second)
        first.script(OPENAI, failing(500, words), times=None)
        for _ in range(2):
            answer = await router.http.post(path, json=ASKED)
            assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "b")
        second.script(OPENAI, failing(500, words), times=None)
        answer = await router.http.post(path, json=ASKED)
        assert answer.status_code == 502
        assert "out of memory" in words_of(answer)
        assert (await router.traces(3))[0]["status"] == "failed"


async def test_what_the_engine_refuses_is_refused_in_its_words() -> None:
    words = b'{"error":{"message":"width must be a multiple of 16 pixels","type":"invalid_request_error","code":"x"}}'
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        for path in (OWN, OPENAI):
            fake.script(OPENAI, failing(400, words))
            answer = await router.http.post(path, json={**ASKED, "size": "500x500"})
            assert answer.status_code == 400
            assert "multiple of 16" in words_of(answer)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"made": 1}, "made 1 of 2 pictures"), ({"made": 3}, "made 3 of 2 pictures"),
     ({"size": (1024, 1024)}, "made 1024x1024 instead of 512x256")],
)  # fmt: skip
async def test_fewer_pictures_or_another_size_is_never_passed_off_as_what_was_asked_for(
    wrong: dict[str, Any], told: str
) -> None:
    async with FakeImages() as bad, FakeImages() as good, running_router() as router:
        for name, value in wrong.items():
            setattr(bad, name, value)
        await join(router, "a", bad)
        answer = await router.http.post(OPENAI, json={**ASKED, "n": 2, "size": "512x256"})
        assert answer.status_code == 502
        assert told in words_of(answer)
        await join(router, "b", good)
        answer = await router.http.post(OPENAI, json={**ASKED, "n": 2, "size": "512x256"})
        assert (answer.status_code, answer.headers["x-fleet-node"]) == (200, "b")


async def test_a_size_that_an_engine_can_only_come_near_is_the_clients_to_change_and_no_mark_against_the_engine() -> (
    None
):
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.size = (496, 496)
        for _ in range(6):
            answer = await router.http.post(OWN, json={**ASKED, "size": "500x500"})
            assert answer.status_code == 400
            assert '"496x496"' in words_of(answer)
        explained = (await router.http.get("/fleet/explain", params={"model": "flux-schnell"})).json()
        assert [one["node_id"] for one in explained["scored"]] == ["a"]


@pytest.mark.parametrize(
    "answer",
    [{"data": []}, {"data": [{"url": "http://x/y.png"}]}, {"error": {"message": "no picture today"}}, {"data": "x"},
     {"data": [{"b64_json": "bm90IGEgcG5n"}]}, {"data": [{"b64_json": "!"}]},
     {"data": [{"b64_json": base64.b64encode(png(64, 64)[:-20]).decode()}]}],
)  # fmt: skip
async def test_an_answer_without_whole_pictures_is_502(answer: dict[str, Any]) -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.script(OPENAI, replying(answer))
        got = await router.http.post(OWN, json={**ASKED, "size": "64x64"})
        assert got.status_code == 502
        assert words_of(got)


async def test_a_client_that_leaves_ends_the_engines_work_at_once_and_the_next_one_gets_its_turn() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake, "flux-schnell", "flux-dev")
        fake.hold = asyncio.Event()
        leaves = asyncio.ensure_future(router.http.post(OWN, json=ASKED))
        await fake.requests.wait(1)
        waits = asyncio.ensure_future(router.http.post(OWN, json={**ASKED, "model": "flux-dev"}))
        await router.until(in_flight=1, pending=1)
        leaves.cancel()
        await fake.closed.wait(1)
        await fake.requests.wait(2)
        fake.hold.set()
        assert (await waits).is_success
        statuses = [trace["status"] for trace in await router.traces(2)]
        assert sorted(statuses) == ["client_disconnected", "completed"]


async def test_a_picture_that_takes_too_long_is_ended_at_the_engine() -> None:
    async with FakeImages() as fake, running_router(image={"image_timeout": 0.3}, max_retries=0) as router:
        await join(router, "a", fake)
        fake.script(OPENAI, hang())
        answer = await router.http.post(OWN, json=ASKED)
        assert answer.status_code == 502
        await fake.closed.wait(1)


async def test_a_burst_over_two_nodes_runs_one_at_a_time_on_each_whatever_the_models() -> None:
    models = ("flux-schnell", "flux-dev", "z-image-turbo")
    async with FakeImages() as first, FakeImages() as second, running_router() as router:
        await router.beat(painter("large", painting(*models, port=first.port), memory_gb=512))
        await router.beat(painter("small", painting(*models, port=second.port)))
        for fake in (first, second):
            fake.hold = asyncio.Event()
        calls = [
            asyncio.ensure_future(router.http.post(OWN, json={**ASKED, "model": models[number % 3]}))
            for number in range(8)
        ]
        figures = await router.until(in_flight=2, pending=6)
        assert {view["why"] for view in figures["waiting"]} == {"busy"}
        lanes = (await router.http.get("/fleet/status")).json()["queues"].values()
        assert {line["lane"] for line in lanes} == {"image"}
        for fake in (first, second):
            assert fake.hold is not None
            fake.hold.set()
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        assert (first.peak, second.peak) == (1, 1)
        assert min(len(first.requests), len(second.requests)) >= 2


async def test_image_models_are_in_every_list_unless_nobody_makes_pictures_of_them() -> None:
    async with FakeImages() as fake, running_router() as router:
        chat = ModelReport(name="llama3.2:3b", loaded=True)
        kept = ModelReport(name="x/flux2-klein", modality="image", capabilities=("image",))
        await join(router, "a", fake)
        await router.beat(
            painter("b", painting(port=fake.port), painting("sd3-medium", port=fake.port, name="diffusionkit"),
                    painting(port=fake.port, name="ollama", operations=("chat",), models=(chat, kept)))
        )  # fmt: skip
        listed = (await router.http.get("/api/image-models")).json()["models"]
        assert listed == [
            {"name": "flux-schnell", "type": "image", "backend": "mflux", "steps": 4, "fleet_nodes": ["a", "b"]},
            {"name": "sd3-medium", "type": "image", "backend": "diffusionkit", "steps": 50, "fleet_nodes": ["b"]},
        ]
        tags = {one["name"]: one for one in (await router.http.get("/api/tags")).json()["models"]}
        assert set(tags) == {"flux-schnell", "sd3-medium", "llama3.2:3b"}
        assert tags["flux-schnell"]["details"]["type"] == "image"
        assert tags["flux-schnell"]["details"]["fleet_nodes"] == ["a", "b"]
        assert set(tags) == {one["id"] for one in (await router.http.get("/v1/models")).json()["data"]}
        answer = await router.http.post(OWN, json={**ASKED, "model": "x/flux2-klein"})
        assert answer.status_code == 404
        assert "there are flux-schnell, sd3-medium" in words_of(answer)


async def test_how_far_an_engine_is_stands_in_the_status() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake, progress=0.4)
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        [engine] = node["engines"]
        assert (engine["progress"], engine["lane"], engine["lane_slots"]) == (0.4, "image", 1)


async def test_stable_diffusion_cpp_is_asked_in_its_own_words() -> None:
    async with FakeImages() as fake, running_router() as router:
        sd = ModelReport(name="dreamshaper", modality="image", loaded=True)
        engine = painting(
            port=fake.port,
            name="sd",
            kind="stable-diffusion.cpp",
            dialects=("openai", "stable-diffusion.cpp"),
            models=(sd,),
        )
        await router.beat(painter("a", engine))
        wishes = {"steps": 7, "guidance": 3.5, "seed": 42, "negative_prompt": "people", "quantize": 4, "n": 2}
        answer = await router.http.post(OPENAI, json={**ASKED, "model": "dreamshaper", "size": "512x256", **wishes})
        assert [size_of(base64.b64decode(one["b64_json"])) for one in answer.json()["data"]] == [(512, 256)] * 2
        [asked] = fake.asked("/sdapi/v1/txt2img")
        assert asked.json() == {
            "prompt": ASKED["prompt"], "negative_prompt": "people", "width": 512, "height": 256, "batch_size": 2,
            "steps": 7, "cfg_scale": 3.5, "seed": 42,
        }  # fmt: skip
        old = painting(port=fake.port, name="sd", kind="stable-diffusion.cpp", models=(sd,))
        await router.beat(painter("a", old))  # it has OpenAI's path only, and passes over what is not OpenAI's
        answer = await router.http.post(OWN, json={**ASKED, "model": "dreamshaper", "seed": 1, "quality": "hd"})
        assert (answer.status_code, size_of(answer.content)) == (200, (1024, 1024))
        notes = [trace["notes"] for trace in await router.traces(2)]
        assert notes == [["fields.dropped quality, seed"], ["fields.dropped quantize"]]


async def test_an_ollama_that_makes_pictures_is_asked_for_one_at_a_time() -> None:
    async with FakeImages() as fake, running_router() as router:
        turbo = ModelReport(name="x/z-image-turbo:latest", modality="image", capabilities=("image",))
        engine = painting(port=fake.port, name="ollama", dialects=("ollama", "openai"), lane="", models=(turbo,))
        await router.beat(painter("a", engine))
        body = {**ASKED, "model": "x/z-image-turbo", "seed": 5, "steps": 8, "size": "512x256", "guidance": 2}
        answer = await router.http.post(OWN, json=body)
        assert (answer.status_code, size_of(answer.content)) == (200, (512, 256))
        assert fake.requests[0].json() == {
            "model": "x/z-image-turbo:latest", "prompt": ASKED["prompt"], "width": 512, "height": 256, "steps": 8,
            "options": {"seed": 5}, "stream": False,
        }  # fmt: skip
        answer = await router.http.post(OPENAI, json={**body, "n": 2})
        assert answer.status_code == 400
        assert "one picture at a time" in words_of(answer)
        assert (await router.traces(2))[-1]["notes"] == ["model.renamed", "fields.dropped guidance"]


async def test_the_openai_client_gets_its_picture() -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake)
        async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="not-needed") as client:
            response = await client.images.generate(
                model="flux-schnell", prompt="a sunset over mountains", size="1024x1024", response_format="b64_json"
            )
            assert response.data is not None
            assert size_of(base64.b64decode(response.data[0].b64_json or "")) == (1024, 1024)
            response = await client.images.generate(
                model="flux-schnell", prompt="x", n=2, size="512x512", quality="hd", style="vivid", user="ada",
                extra_body={"steps": 2, "seed": 1, "metadata": {"tags": ["sdk"]}},
            )  # fmt: skip
            assert len(response.data or ()) == 2
            with pytest.raises(openai.NotFoundError):
                await client.images.generate(model="nobody-has-this", prompt="x")
            with pytest.raises(openai.BadRequestError):
                await client.images.generate(model="flux-schnell", prompt="x", response_format="url")
        assert [trace["tags"] for trace in await router.traces(2)] == [["sdk", "user:ada"], None]


COMMANDS = {
    "sunset.png": """curl -o sunset.png http://router-ip:11435/api/generate-image \\
  -H "Content-Type: application/json" \\
  -d '{"model": "z-image-turbo", "prompt": "a sunset over mountains", "width": 1024, "height": 1024}'""",
    "tagged.png": """curl -o tagged.png http://router-ip:11435/api/generate-image \\
  -d '{"model": "flux-schnell", "metadata": {"tags": ["my-app"]}, "prompt": "..."}'""",
}
"""As people type them; the second says nothing about what it sends, so curl calls it a form."""


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are quoted for a Unix shell")
@pytest.mark.parametrize("file", COMMANDS)
async def test_a_curl_command_saves_the_picture(tmp_path: Path, file: str) -> None:
    async with FakeImages() as fake, running_router() as router:
        await join(router, "a", fake, "z-image-turbo", "flux-schnell")
        command = COMMANDS[file].replace("http://router-ip:11435", router.url)
        curl = await asyncio.create_subprocess_shell(command + " --silent --noproxy '*'", cwd=tmp_path)
        assert await curl.wait() == 0
        assert size_of((tmp_path / file).read_bytes()) == (1024, 1024)
        [trace] = await router.traces()
        assert trace["tags"] == (["my-app"] if "my-app" in COMMANDS[file] else None)
