"""The Ollama engine reports what Ollama itself says, and says so when Ollama cannot be asked."""

import asyncio

import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import failing, hung_up, replying, reset, streaming

from node.engines.base import EngineAway, EngineError, EngineRefused
from node.engines.http import BODY_LIMIT
from node.engines.ollama import OllamaEngine, dialects_of, modality_of


def _engine(fake: FakeOllama, http) -> OllamaEngine:
    return OllamaEngine("ollama", fake.url, http, local=False)


async def test_a_loaded_model_is_reported_with_every_fact_ollama_tells(http):
    loaded = FakeModel("llama3:8b", size=100, loaded=True, context=32768, context_max=131072, resident=250)
    loaded.capabilities = ("completion", "tools")
    async with FakeOllama(loaded) as fake:
        report = await _engine(fake, http).report()
    assert (report.kind, report.version, report.healthy, report.stale) == ("ollama", "0.31.0", True, False)
    (model,) = report.models
    assert (model.name, model.modality, model.loaded) == ("llama3:8b", "llm", True)
    assert (model.size_bytes, model.resident_bytes, model.vram_bytes) == (100, 250, 0)
    assert (model.context_length, model.context_max) == (32768, 131072)
    assert (model.digest, model.expires_at, model.modified_at) == (
        loaded.digest,
        "2318-01-01T00:00:00Z",
        "2026-11-24T00:00:00Z",
    )
    assert (model.format, model.family, model.parameters, model.quantization) == ("gguf", "llama", "134.52M", "Q4_1")
    assert model.capabilities == ("completion", "tools")


async def test_a_model_on_disk_only_has_no_resident_memory_and_no_allocated_context(http):
    async with FakeOllama(FakeModel("llama3:8b")) as fake:
        (model,) = (await _engine(fake, http).report()).models
    assert (model.loaded, model.resident_bytes, model.context_length) == (False, None, None)


async def test_each_digest_is_shown_once_however_often_the_engine_reports(http):
    same = [FakeModel("a:1", digest="d" * 64), FakeModel("b:1", digest="d" * 64), FakeModel("c:1")]
    async with FakeOllama(*same) as fake:
        engine = _engine(fake, http)
        for _ in range(3):
            await engine.report()
        assert len(fake.asked("/api/show")) == 2
        fake.models["c:1"] = FakeModel("c:1", digest="e" * 64, context_max=777)
        report = await engine.report()
        assert len(fake.asked("/api/show")) == 3
    assert {m.name: m.context_max for m in report.models}["c:1"] == 777


async def test_many_new_models_are_shown_a_few_at_a_time(http):
    async with FakeOllama(*(FakeModel(f"m{n}:1") for n in range(30))) as fake:
        fake.counts = lambda request: request.path == "/api/show"
        report = await _engine(fake, http).report()
    assert fake.peak <= 4
    assert all(model.context_max == 8192 for model in report.models)


async def test_a_show_that_hangs_costs_its_facts_and_not_the_report(http):
    async with FakeOllama(FakeModel("a:1", extra={"details": {}})) as fake:
        never = asyncio.Event()
        fake.script("/api/show", streaming(never), times=None)
        engine = _engine(fake, http)
        report = await engine.report()
        await engine.report()
        assert len(fake.asked("/api/show")) == 1
    assert [(model.name, model.context_max) for model in report.models] == [("a:1", None)]


async def test_a_show_that_fails_is_not_asked_again_at_once(http):
    async with FakeOllama(FakeModel("a:1")) as fake:
        fake.script("/api/show", failing(500), times=None)
        engine = _engine(fake, http)
        await engine.report()
        await engine.report()
        assert len(fake.asked("/api/show")) == 1


async def test_an_embedding_model_is_embed_with_one_slot_whatever_the_engine_takes(http):
    models = [FakeModel("all-minilm:latest", capabilities=("embedding",)), FakeModel("llama3:8b")]
    async with FakeOllama(*models) as fake:
        engine = OllamaEngine("ollama", fake.url, http, local=False, slots=4)
        report = await engine.report()
    assert [(m.modality, m.slots) for m in report.models] == [("embed", 1), ("llm", 4)]


@pytest.mark.parametrize(
    ("capabilities", "family", "modality"),
    [
        (("completion", "vision"), "llama", "llm"),
        (("embedding",), "nomic-bert", "embed"),
        (("completion", "embedding"), "qwen3", "llm"),
        (("image",), "flux", "image"),
        (("audio",), "whisper", "stt"),
        (("completion", "audio"), "gemma4", "llm"),
        ((), "bert", "embed"),
        ((), "", "llm"),
    ],
)
def test_the_modality_follows_what_the_model_can_do(capabilities, family, modality):
    assert modality_of(capabilities, family) == modality


async def test_an_engine_with_an_image_model_and_the_route_for_it_offers_images(http):
    async with FakeOllama(FakeModel("flux:1", capabilities=("image",))) as fake:
        fake.pictures = True
        engine = _engine(fake, http)
        assert "image" in (await engine.report()).operations
        assert "image" in (await engine.report()).operations
        assert len(fake.asked("/v1/images/generations")) == 1
    async with FakeOllama() as fake:
        assert "image" not in (await _engine(fake, http).report()).operations
        assert not fake.asked("/v1/images/generations")


async def test_an_ollama_that_lost_the_route_offers_no_images_though_it_lists_such_a_model(http):
    async with FakeOllama(FakeModel("flux:1", capabilities=("image",))) as fake:
        engine = _engine(fake, http)
        report = await engine.report()
        assert (report.models[0].modality, "image" in report.operations) == ("image", False)
        await fake.refuse()
        with pytest.raises(EngineAway):
            await engine.report()
        await fake.accept()
        fake.pictures = True  # an older one in its place
        assert "image" in (await engine.report()).operations


@pytest.mark.parametrize(
    ("version", "capabilities", "transcribes"),
    [
        ("0.33.0", ("completion", "audio"), True),
        ("0.20.0-rc1", ("completion", "audio"), True),
        ("0.19.9", ("completion", "audio"), False),
        ("unknown", ("completion", "audio"), False),
        ("0.33.0", ("completion", "vision"), False),
    ],
)
async def test_an_engine_with_a_model_that_hears_transcribes_if_it_is_new_enough(
    http, version, capabilities, transcribes
):
    async with FakeOllama(FakeModel("gemma4:e2b", capabilities=capabilities), version=version) as fake:
        report = await _engine(fake, http).report()
    assert ("transcribe" in report.operations) is transcribes
    assert report.models[0].modality == "llm"


@pytest.mark.parametrize(
    ("version", "dialects"),
    [
        ("0.6.0", ("ollama", "openai")),
        ("0.13.2", ("ollama", "openai")),
        ("0.13.3", ("ollama", "openai", "responses")),
        ("0.14.0", ("ollama", "openai", "responses", "anthropic")),
        ("0.33.0-rc2", ("ollama", "openai", "responses", "anthropic")),
        ("1.0", ("ollama", "openai", "responses", "anthropic")),
        ("v0.30.1", ("ollama", "openai", "responses", "anthropic")),
        ("0.0.0", ("ollama", "openai")),
        ("unknown", ("ollama", "openai")),
    ],
)
def test_the_dialects_follow_the_version(version, dialects):
    assert dialects_of(version) == dialects


@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
@pytest.mark.parametrize(
    "answer",
    [
        failing(500),
        failing(404, b"nope"),
        reset(),
        hung_up(),
        failing(200, b"<html>"),
        failing(200, b"[]"),
        failing(200, b"[" * 100_000),
        streaming(b'{"models":', end="close"),
        streaming(b'{"models":"' + b"x" * (BODY_LIMIT + 1) + b'"}'),
    ],
    ids=["500", "404", "reset", "hung-up", "html", "list", "nested", "cut", "huge"],
)
async def test_an_answer_that_makes_no_sense_is_an_engine_error_and_never_an_empty_list(http, path, answer):
    async with FakeOllama() as fake:
        fake.script(path, answer)
        with pytest.raises(EngineError):
            await _engine(fake, http).report()


async def test_errors_tell_absence_from_refusal(http):
    async with FakeOllama() as fake:
        engine = _engine(fake, http)
        fake.script("/api/version", failing(503))
        with pytest.raises(EngineRefused) as refused:
            await engine.report()
        assert refused.value.status == 503
        await fake.refuse()
        with pytest.raises(EngineAway):
            await engine.report()


async def test_names_that_would_break_a_line_or_are_too_long_are_left_out(http):
    bad = ["evil\nname", "x" * 201, "", " padded ", "tab\there", "\u202eabc", 7, None]
    rows = [{"name": name, "model": name, "size": 1, "digest": "d"} for name in [*bad, "good:1"]]
    async with FakeOllama() as fake:
        fake.script("/api/tags", replying({"models": rows}), times=None)
        report = await _engine(fake, http).report()
    assert [model.name for model in report.models] == ["good:1"]


async def test_a_herd_router_in_ollamas_place_is_refused(http):
    async with FakeOllama() as fake:
        fake.script("/fleet/status", replying({"nodes": []}), times=None)
        with pytest.raises(EngineError, match="Herd"):
            await _engine(fake, http).report()


async def test_a_model_in_the_cloud_is_told_apart(http):
    remote = FakeModel("gpt:cloud", extra={"remote_host": "https://ollama.com:443"})
    async with FakeOllama(remote) as fake:
        (model,) = (await _engine(fake, http).report()).models
    assert "remote" in model.capabilities
