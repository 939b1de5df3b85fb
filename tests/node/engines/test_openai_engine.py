"""The OpenAI engine finds out what stands behind a URL and reports what that program itself tells."""

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel
from fakes.scripted import failing, replying, streaming

from node.engines.base import EngineAway, EngineError, EngineRefused, EngineSilent
from node.engines.http import ask
from node.engines.openai import BATCHING_SLOTS, OpenAIEngine
from node.engines.reading import parameters


def _engine(fake: FakeLlama, http, slots: int | None = None) -> OpenAIEngine:
    return OpenAIEngine("local", fake.url, http, slots=slots)


async def test_a_llama_server_tells_its_build_slots_contexts_and_weights(http):
    async with FakeLlama() as fake:
        report = await _engine(fake, http).report()
    assert report.version == "llama.cpp b11549"
    assert report.operations == ("chat", "generate")
    assert report.dialects == ("openai", "anthropic")
    (model,) = report.models
    assert (model.name, model.loaded, model.slots) == ("smollm2:135m", True, 2)
    assert (model.context_length, model.context_max) == (4096, 8192)
    assert (model.format, model.parameters, model.quantization) == ("gguf", "135M", "Q4_1")
    assert (model.size_bytes, model.resident_bytes) == (96_576_768, 96_576_768)


async def test_what_stands_there_is_found_out_once_and_again_after_it_was_away(http):
    async with FakeLlama() as fake:
        engine = _engine(fake, http)
        await engine.report()
        await engine.report()
        assert len(fake.asked("/props")) == 1
        await fake.refuse()
        with pytest.raises(EngineAway):
            await engine.report()
        await fake.accept()
        fake.total_slots, fake.messages, fake.embeddings = 5, False, True
        report = await engine.report()
    assert report.models[0].slots == 5
    assert report.dialects == ("openai",)
    assert report.operations == ("chat", "generate", "embed")


async def test_slots_are_counted_where_props_are_switched_off(http):
    async with FakeLlama() as fake:
        fake.total_slots = 3
        fake.script("/props", failing(501), times=None)
        report = await _engine(fake, http).report()
    assert report.models[0].slots == 3


async def test_the_owners_word_on_slots_overrules_the_server(http):
    async with FakeLlama() as fake:
        assert (await _engine(fake, http, slots=9).report()).models[0].slots == 9


async def test_a_server_that_loads_its_model_is_not_ready_yet(http):
    async with FakeLlama() as fake:
        fake.loading = True
        engine = _engine(fake, http)
        with pytest.raises(EngineRefused, match="loading") as refused:
            await engine.report()
        assert refused.value.status == 503
        fake.loading = False
        assert (await engine.report()).models


async def test_a_router_of_llama_servers_tells_which_models_are_loaded(http):
    async with FakeLlama(FakeModel("a", loaded=True), FakeModel("b")) as fake:
        fake.router = True
        report = await _engine(fake, http).report()
    assert [(model.name, model.loaded) for model in report.models] == [("a", True), ("b", False)]


async def test_a_model_of_bert_kind_makes_vectors_only(http):
    async with FakeLlama() as fake:
        fake.embeddings = True
        row = {"id": "minilm", "object": "model", "owned_by": "llamacpp", "meta": {"vocab_type": 3, "n_ctx_train": 512}}
        fake.script("/v1/models", replying({"object": "list", "data": [row]}), times=None)
        report = await _engine(fake, http).report()
    assert report.operations == ("embed",)
    assert (report.models[0].modality, report.models[0].capabilities) == ("embed", ("embedding",))


async def test_a_model_without_an_alias_is_called_by_its_file_and_not_by_its_folder(http):
    async with FakeLlama() as fake:
        row = {"id": "/home/me/models/Qwen3-4B-Q4_K_M.gguf", "object": "model", "owned_by": "llamacpp"}
        fake.script("/v1/models", replying({"object": "list", "data": [row]}), times=None)
        (model,) = (await _engine(fake, http).report()).models
    assert model.name == "Qwen3-4B-Q4_K_M.gguf"


async def test_vllm_batches_and_tells_its_context(http):
    async with FakeLlama(FakeModel("qwen", context_max=40960)) as fake:
        fake.owner = "vllm"
        report = await _engine(fake, http).report()
    assert (report.version, report.dialects) == ("vLLM 0.11.2", ("openai",))
    (model,) = report.models
    assert (model.slots, model.context_length, model.context_max) == (BATCHING_SLOTS, 40960, 40960)


async def test_lm_studio_tells_kind_and_state_of_each_model(http):
    own = [
        {"id": "qwen", "type": "llm", "state": "loaded", "max_context_length": 32768, "loaded_context_length": 8192},
        {"id": "nomic", "type": "embeddings", "state": "not-loaded", "arch": "nomic-bert", "quantization": "F16"},
        {"id": "llava", "type": "vlm", "state": "not-loaded", "compatibility_type": "gguf"},
    ]
    async with FakeLlama() as fake:
        fake.owner = "organization_owner"
        fake.script("/api/v0/models", replying({"object": "list", "data": own}), times=None)
        report = await _engine(fake, http).report()
    assert report.version == "LM Studio"
    qwen, nomic, llava = report.models
    assert (qwen.loaded, qwen.context_length, qwen.context_max) == (True, 8192, 32768)
    assert (nomic.modality, nomic.loaded, nomic.family, nomic.quantization) == ("embed", False, "nomic-bert", "F16")
    assert "vision" in llava.capabilities


async def test_an_unknown_server_is_taken_to_serve_one_request_at_a_time(http):
    async with FakeLlama() as fake:
        fake.owner = "somebody"
        report = await _engine(fake, http).report()
    assert (report.version, report.models[0].slots, report.dialects) == ("", 1, ("openai",))


@pytest.mark.parametrize(
    "answer",
    [
        failing(200, b"<html>hello</html>", "text/html"),
        replying({"data": []}),
        replying({"object": "list", "data": ["x"]}),
        replying({"object": "list", "data": {"a": 1}}),
        replying([]),
        failing(404),
        failing(401),
        streaming(b'{"object":"list","da', end="reset"),
    ],
)
async def test_what_is_no_list_of_models_is_no_engine(http, answer):
    async with FakeLlama() as fake:
        fake.script("/v1/models", answer)
        with pytest.raises(EngineError):
            await _engine(fake, http).report()


async def test_a_herd_router_is_not_an_engine_of_itself(http):
    herds = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "herd"}]}
    async with FakeLlama() as fake:
        fake.script("/v1/models", replying(herds))
        with pytest.raises(EngineError, match="Herd"):
            await _engine(fake, http).report()
        fake.owner = "library"
        fake.script("/fleet/status", replying({"nodes": []}))
        with pytest.raises(EngineError, match="Herd"):
            await _engine(fake, http).report()


async def test_a_silent_server_is_told_from_an_absent_one(http, monkeypatch):
    monkeypatch.setattr("node.engines.http.ask.__kwdefaults__", {**ask.__kwdefaults__, "timeout_s": 0.1})
    async with FakeLlama() as fake:
        fake.script("/v1/models", streaming(30.0))
        with pytest.raises(EngineSilent):
            await _engine(fake, http).report()


@pytest.mark.parametrize(
    ("count", "short"),
    [
        (134_515_008, "135M"),
        (8_030_261_248, "8B"),
        (30_532_122_624, "30.5B"),
        (405e9, "405B"),
        (22_000, "22K"),
        (7, "7"),
    ],
)
def test_a_count_of_parameters_is_told_as_people_tell_it(count, short):
    assert parameters(count) == short
