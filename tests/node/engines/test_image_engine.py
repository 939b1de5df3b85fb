"""mflux and DiffusionKit as engines: what they report, the images they make, how they fail; stand-ins as processes."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import structlog
from fakes.image_tools import Bench, png

from node.engines import image_engine, image_program, image_run
from node.engines.base import Answer, Question
from node.engines.diffusionkit import DIFFUSIONKIT, NARROW, WIDE
from node.engines.image_engine import ImageEngine
from node.engines.image_tool import ImageTool, png_size
from node.engines.lane import Lane
from node.engines.mflux import MFLUX
from node.engines.process import Restarts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a shebang")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "tools")
    bench.install("mflux-generate", "mflux-generate-z-image-turbo", "diffusionkit-cli")
    return bench


@asynccontextmanager
async def engine_of(
    bench: Bench, tool: ImageTool = MFLUX, *, lane: Lane | None = None, timeout_s: float = 60.0, ready: bool = True
) -> AsyncIterator[ImageEngine]:
    paths = {name: bench.bin / name for name in tool.programs if (bench.bin / name).exists()}
    engine = ImageEngine(tool, paths, lane or Lane("image", 1), version="1", timeout_s=timeout_s)
    await engine.start()
    try:
        if ready:
            await until(engine.report, lambda report: not report.error)
        yield engine
    finally:
        await engine.aclose()


async def until(look: Callable[[], Any], true: Callable[[Any], object] = bool, within_s: float = 20.0) -> Any:
    async with asyncio.timeout(within_s):
        while True:
            seen = look()
            seen = await seen if asyncio.iscoroutine(seen) else seen
            if true(seen):
                return seen
            await asyncio.sleep(0.01)


async def ask(engine: ImageEngine, **ordered: object) -> Answer:
    async def body() -> AsyncIterator[bytes]:
        yield json.dumps({"model": "flux-schnell", "prompt": "a barn", "size": "64x64", **ordered}).encode()

    return await engine.answer(Question(method="POST", path="/v1/images/generations", headers={}, body=body()))


def images(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer.body
    return [base64.b64decode(row["b64_json"]) for row in json.loads(answer.body)["data"]]


def error(answer: Answer) -> tuple[int, str, str]:
    told = json.loads(answer.body)["error"]
    return answer.status, told["code"], told["message"]


async def test_what_is_reported_has_been_asked_of_the_programs(bench: Bench):
    async with engine_of(bench) as engine:
        report = await engine.report()
    assert [model.name for model in report.models] == ["flux-dev", "flux-schnell", "z-image-turbo"]
    assert {(model.modality, model.slots) for model in report.models} == {("image", 1)}
    assert (report.name, report.kind, report.version, report.healthy) == ("mflux", "mflux", "1", True)
    assert (report.operations, report.dialects, report.reach) == (("image",), ("openai",), "door")
    assert (report.lane, report.lane_slots, report.progress, report.quarantined) == ("image", 1, None, False)
    assert bench.helped == 2


async def test_a_model_whose_program_is_not_here_is_not_reported(bench: Bench):
    bench.remove("mflux-generate")
    async with engine_of(bench) as engine:
        assert [model.name for model in (await engine.report()).models] == ["z-image-turbo"]
        assert error(await ask(engine))[:2] == (404, "model_not_found")


async def test_an_older_program_without_a_models_checkpoint_does_not_offer_the_model(bench: Bench):
    script = bench.bin / "diffusionkit-cli"
    script.write_text("#!/bin/sh\necho 'usage: x [--t5] [--model-version {argmaxinc/mlx-stable-diffusion-3-medium}]'\n")
    async with engine_of(bench, DIFFUSIONKIT) as engine:
        assert [model.name for model in (await engine.report()).models] == ["sd3-medium"]


async def test_a_program_that_cannot_run_here_is_reported_with_its_own_word(bench: Bench):
    bench.behave(help_code=1, said="ImportError: no Metal on this machine")
    async with engine_of(bench, ready=False) as engine:
        report = await until(engine.report, lambda report: report.error.count("ImportError") == 2)
        assert not report.healthy
        assert report.models == report.operations == ()
        assert error(await ask(engine))[0] == 404
        await engine.report()
        assert bench.helped == 2, "it is not asked again at each report"


async def test_a_program_that_takes_its_time_to_say_what_it_can_do_holds_up_nobody(bench: Bench, monkeypatch):
    monkeypatch.setattr(image_engine, "HEAR_S", 0.0)
    bench.behave(help_s=600)
    async with engine_of(bench, ready=False) as engine:
        report = await engine.report()
        assert (report.healthy, report.models) == (False, ())
        assert report.error.count("is being asked what it can do.") == 2
        monkeypatch.setattr(image_program, "HELP_BUDGET_S", 0.0)
        assert "--help did not end within" in (await engine.report()).error


async def test_an_image_is_a_png_of_the_size_that_was_asked_for(bench: Bench):
    async with engine_of(bench) as engine:
        [image] = images(await ask(engine, size="128x64", seed=3))
    assert image == png(128, 64, crc32(b"a barn 3"))
    assert bench.calls == [
        ["mflux-generate", "--model=schnell", "--prompt=a barn", "--width=128", "--height=64", "--steps=4", "--seed=3",
         "--quantize=8", "--output=image.png"]
    ]  # fmt: skip


async def test_diffusionkit_makes_them_with_its_own_words(bench: Bench):
    async with engine_of(bench, DIFFUSIONKIT) as engine:
        [image] = images(await ask(engine, model="sd3.5-large", size="64x128", guidance=4.5, negative_prompt="-fog"))
    assert png_size(image) == (64, 128)
    assert bench.calls == [
        ["diffusionkit-cli", "--model-version=argmaxinc/mlx-stable-diffusion-3.5-large", "--t5", "--prompt=a barn",
         "--width=64", "--height=128", "--steps=50", "--cfg=4.5", "--negative_prompt=-fog", "--output-path=image.png"]
    ]  # fmt: skip


@pytest.mark.parametrize("prompt", ["--help", "-x", "-", "--output=/tmp/x", "$(reboot)", "a\nb", "ünïcödé 🐑", "%s {}"])
async def test_a_prompt_is_a_prompt_whatever_it_looks_like(bench: Bench, prompt: str):
    async with engine_of(bench) as engine:
        assert len(images(await ask(engine, prompt=prompt))) == 1
    assert f"--prompt={prompt}".strip() == bench.calls[0][2].strip()


async def test_several_images_are_runs_with_one_seed_after_the_other(bench: Bench):
    async with engine_of(bench) as engine:
        made = images(await ask(engine, n=3, seed=7))
        assert len(set(made)) == 3
        assert [word for call in bench.calls for word in call if "seed" in word] == ["--seed=7", "--seed=8", "--seed=9"]
        assert len(set(images(await ask(engine, n=2)))) == 2


async def test_each_run_has_its_folder_for_itself_and_leaves_none(bench: Bench, tmp_path: Path, monkeypatch):
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    async with engine_of(bench) as engine:
        images(await ask(engine))
        bench.behave(code=1)
        assert (await ask(engine)).status == 500
    assert list((tmp_path / "t").iterdir()) == []


async def test_what_the_order_lacks_or_the_tool_does_not_know_is_told_before_anything_runs(bench: Bench):
    async with engine_of(bench, DIFFUSIONKIT) as engine:
        assert error(await ask(engine, model="sd3-medium", quantize=8))[:2] == (400, "unsupported_value")
        assert error(await ask(engine, model="sd3-medium", steps=101))[0] == 400
        assert error(await ask(engine, model="flux-dev"))[:2] == (404, "model_not_found")
        other = Question(method="GET", path="/v1/models", headers={}, body=_nothing())
        assert error(await engine.answer(other))[:2] == (404, "unknown_url")
        large = Question(method="POST", path="/v1/images/generations", headers={}, body=_much())
        assert error(await engine.answer(large))[:2] == (413, "too_large")
    assert bench.calls == []


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def _much() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 2**16


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ({"code": 1, "said": "MemoryError: no room"}, 500, "mflux ended with 1: MemoryError: no room"),
        ({"code": 1, "said": "", "step_s": 0.0}, 500, "mflux ended with 1: it said nothing"),
        ({"no_image": True, "said": "battery is low"}, 500, "mflux made no image: battery is low"),
        ({"garbage": True}, 500, "mflux made no image"),
        ({"size": (64, 32)}, 500, "mflux made an image of 64x32 instead of 64x64."),
        ({"code": 2, "said": "error: argument --steps: odd"}, 400, "mflux refuses this: error: argument --steps: odd"),
    ],
)
async def test_a_run_that_fails_says_why(bench: Bench, how, status, said):
    async with engine_of(bench) as engine:
        bench.behave(**how)
        answer = error(await ask(engine))
    assert answer[0] == status
    assert said in answer[2]


async def test_an_image_that_takes_too_long_is_ended_with_all_it_started(bench: Bench):
    async with engine_of(bench, timeout_s=0.3) as engine:
        bench.behave(step_s=600, grandchild=True, deaf=True)
        answer = error(await ask(engine))
        assert answer[:2] == (504, "timeout")
        assert "--image-timeout" in answer[2]
        await until(lambda: not bench.alive)
        assert (await engine.report()).quarantined is False


async def test_weights_that_are_fetched_at_first_use_are_no_hang_and_are_told(bench: Bench, monkeypatch):
    monkeypatch.setattr(image_run, "TELL_EVERY_S", 0.1)
    async with engine_of(bench, timeout_s=1.0) as engine:
        bench.behave(download_s=2.5)
        with structlog.testing.capture_logs() as log:
            assert len(images(await ask(engine))) == 1
    [told] = [entry for entry in log if entry["event"] == "image.downloading"]
    assert told["what"].startswith("model-00001-of-00002.safetensors")
    assert "weights" in told["hint"]


async def test_a_client_that_leaves_ends_the_run_and_all_it_started(bench: Bench):
    async with engine_of(bench) as engine:
        bench.behave(step_s=600, grandchild=True, deaf=True)
        asked = asyncio.create_task(ask(engine))
        await until(lambda: len(bench.alive) == 2)
        asked.cancel()
        await until(lambda: not bench.alive)
        with pytest.raises(asyncio.CancelledError):
            await asked
        bench.behave()
        assert len(images(await ask(engine))) == 1, "and the lane is free again"


async def test_an_engine_that_is_closed_ends_what_it_makes(bench: Bench):
    async with engine_of(bench) as engine:
        bench.behave(step_s=600, grandchild=True)
        asked = asyncio.create_task(ask(engine))
        await until(lambda: len(bench.alive) == 2)
        await engine.aclose()
        assert error(await asked)[:2] == (503, "leaving")
        await until(lambda: not bench.alive)
        assert error(await ask(engine))[:2] == (503, "leaving")


async def test_progress_is_reported_while_an_image_is_made(bench: Bench):
    async with engine_of(bench) as engine:
        bench.behave(step_s=0.2)
        asked = asyncio.create_task(ask(engine, steps=10))
        report = await until(engine.report, lambda report: report.progress)
        assert 0 < report.progress < 1
        assert len(images(await asked)) == 1
        assert (await engine.report()).progress is None


async def test_both_tools_share_one_lane_so_that_one_image_is_made_at_a_time(bench: Bench, monkeypatch):
    lane = Lane("image", 1)
    async with engine_of(bench, lane=lane) as flux, engine_of(bench, DIFFUSIONKIT, lane=lane) as stable:
        bench.behave(step_s=600)
        first = asyncio.create_task(ask(flux))
        await until(lambda: len(bench.alive) == 1)
        monkeypatch.setattr(image_engine, "TURN_WAIT_S", 0.1)
        second = await ask(stable, model="sd3-medium")
        assert error(second)[:2] == (503, "busy")
        assert int(second.headers["retry-after"]) >= 0
        monkeypatch.setattr(image_engine, "TURN_WAIT_S", 60)
        third = asyncio.create_task(ask(stable, model="sd3-medium"))
        await asyncio.sleep(0.1)
        assert len(bench.calls) == 1
        bench.behave()
        first.cancel()
        assert len(images(await third)) == 1


async def test_five_failures_in_five_minutes_are_quarantine_and_one_success_ends_it(bench: Bench, monkeypatch):
    async with engine_of(bench) as engine:
        bench.behave(code=1, said="Metal is gone")
        with structlog.testing.capture_logs() as log:
            for _ in range(5):
                assert error(await ask(engine))[0] == 500
        assert [entry["event"] for entry in log].count("engine.quarantined") == 1
        report = await engine.report()
        assert (report.healthy, report.quarantined) == (False, True)
        assert "failed five times in five minutes" in report.error
        assert "Metal is gone" in report.error
        answer = await ask(engine)
        assert error(answer)[:2] == (503, "quarantined")
        assert 590 < int(answer.headers["retry-after"]) <= 600
        assert len(bench.calls) == 5

        monkeypatch.setattr(Restarts, "wait_s", lambda self, now: 0.0)
        report = await engine.report()
        assert (report.healthy, report.quarantined) == (True, True), "its one try"
        bench.behave()
        assert len(images(await ask(engine))) == 1
        monkeypatch.undo()
        report = await engine.report()
        assert (report.healthy, report.quarantined, report.error) == (True, False, "")


PARSER = f"""
import subprocess
sw_vers = subprocess.run("sw_vers", stdout=subprocess.PIPE, shell=True).stdout.decode().strip()
kind, version, build = [
    line.rsplit("\\t\\t")[1]
    {NARROW}
]
"""
SEQUOIA = "ProductName:\\t\\tmacOS\\nProductVersion:\\t\\t15.5\\nBuildVersion:\\t\\t24F74\\n"
TAHOE = SEQUOIA.replace("Build", "ProductVersionExtra:\\t\\t(a)\\nBuild")


def on_macos(bench: Bench, version: str, monkeypatch) -> Path:
    """DiffusionKit as installed beside argmaxtools, whose three lines take ``sw_vers`` for granted."""
    parser = bench.root / "lib" / "python3.11" / "site-packages" / "argmaxtools" / "test_utils.py"
    parser.parent.mkdir(parents=True)
    parser.write_text(PARSER)
    sw_vers = bench.bin / "sw_vers"
    sw_vers.write_text(f"#!/bin/sh\nprintf '{version}'\n")
    sw_vers.chmod(0o755)
    monkeypatch.setenv("PATH", str(bench.bin), prepend=":")
    return parser


async def test_diffusionkit_on_a_macos_that_it_understands_needs_nothing(bench: Bench, monkeypatch):
    on_macos(bench, SEQUOIA, monkeypatch)
    async with engine_of(bench, DIFFUSIONKIT) as engine:
        assert len(images(await ask(engine, model="sd3-medium"))) == 1


async def test_diffusionkit_on_a_newer_macos_is_unhealthy_until_it_was_mended_as_the_report_says(
    bench: Bench, monkeypatch
):
    parser = on_macos(bench, TAHOE, monkeypatch)
    async with engine_of(bench, DIFFUSIONKIT, ready=False) as engine:
        report = await engine.report()
        assert (report.healthy, report.models) == (False, ())
        assert str(parser) in report.error
        assert NARROW in report.error
        assert WIDE.removeprefix("for line in ") in report.error
        assert bench.helped == 0, "it would work for a minute and lose the image"

        parser.write_text(PARSER.replace(NARROW, WIDE))
        monkeypatch.setattr(image_program, "MISSING_AGAIN_S", 0.0)
        engine._programs["diffusionkit-cli"]._ask_at = 0.0
        await until(engine.report, lambda report: report.healthy)
        assert len(images(await ask(engine, model="sd3-medium"))) == 1


async def test_unmended_it_would_lose_every_image(bench: Bench, monkeypatch):
    async with engine_of(bench, DIFFUSIONKIT) as engine:
        on_macos(bench, TAHOE, monkeypatch)
        status, _, said = error(await ask(engine, model="sd3-medium"))
    assert (status, "too many values to unpack" in said) == (500, True)
