"""What stands at a URL is found out by questions that start no work; where they cannot tell, its owner's word does."""

from pathlib import Path

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.other_servers import Gateway, PictureServer, Server, WhisperServer
from fakes.scripted import failing, replying

from node.engines import discover
from node.engines.discover import Engines
from node.wire import EngineReport

CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
PICTURES, SPEECH, SCORES = "/v1/images/generations", "/v1/audio/transcriptions", "/v1/rerank"


@pytest.fixture
def reported(http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a node reports of the engines that these flags tell of, where ``URL`` stands for the server's own."""
    monkeypatch.setattr(discover, "OLLAMA_PORT", 9)

    async def ask(fake: Server | FakeLlama | FakeOllama, *flags: str, **more: int) -> list[EngineReport]:
        engines = Engines(
            ollama_host="http://127.0.0.1:9",
            engine_flags=tuple(flag.replace("URL", fake.url) for flag in flags or ("it=URL",)),
            models_dir=tmp_path / "none",
            slots=None,
            http=http,
            lan_addresses=list,
            well_known=(),
            finders=(),
            **more,
        )
        reports = await engines.observe()
        assert await engines.observe() == reports  # the second look asks less and says the same
        if isinstance(fake, Server):
            assert not fake.worked
        return list(reports)

    return ask


def told(report: EngineReport) -> tuple[str, tuple[str, ...], tuple[str, ...], list[tuple[str, str]]]:
    assert report.healthy, report.error
    return report.kind, report.operations, report.dialects, [(model.name, model.modality) for model in report.models]


WHISPERED = ("whisper.cpp", ("transcribe",), ("whisper.cpp",), [("it", "stt")])


async def test_whispers_own_server_is_known_by_its_page_and_its_model_goes_by_the_engines_name(reported):
    async with WhisperServer() as fake:
        for flag in ("it=URL", "stt:it=URL"):
            [report] = await reported(fake, flag)
            assert told(report) == WHISPERED
            assert (report.models[0].slots, report.models[0].loaded) == (1, True)
        assert {request.path for request in fake.requests} == {"/", "/v1/models", "/api/version"}  # it may be at work


async def test_whispers_server_at_openais_place_speaks_openais_dialect(reported):
    async with WhisperServer(SPEECH) as fake:
        [report] = await reported(fake)
        assert told(report) == ("whisper.cpp", ("transcribe",), ("openai",), [("it", "stt")])


async def test_whispers_server_at_a_place_of_its_own_is_told_how_to_be_started(reported):
    async with WhisperServer("/listen") as fake:
        [report] = await reported(fake)
        assert not report.healthy
        assert report.error.endswith("takes recordings at /listen: start it with --inference-path /inference.")


async def test_whispers_server_with_another_page_is_found_by_the_kind(reported):
    async with WhisperServer(page=False) as fake:
        [blind] = await reported(fake)
        assert "serves nothing that Herd knows" in blind.error
        [report] = await reported(fake, "stt:it=URL")
        assert told(report) == WHISPERED


@pytest.mark.parametrize(("age", "name"), [(0, "flux1-schnell-q4_0"), (1, "flux1-schnell-q4_0"), (2, "it")])
async def test_stable_diffusions_server_tells_the_file_that_it_serves(reported, age: int, name: str):
    async with PictureServer(age=age) as fake:
        for flag in ("it=URL", "image:it=URL"):
            [report] = await reported(fake, flag)
            dialects = ("openai",) if age == 2 else ("openai", "stable-diffusion.cpp")
            assert told(report) == ("stable-diffusion.cpp", ("image",), dialects, [(name, "image")])
            assert (report.lane, report.models[0].slots) == ("image", 1)
        assert not [request for request in fake.requests if request.method == "POST"]


async def test_a_web_page_for_pictures_is_asked_in_the_words_it_shares_with_stable_diffusions_server(reported):
    async with Gateway() as fake:
        listed = [{"title": "v1-5 [e1441589a6]", "model_name": "v1-5"}, {"title": "xl", "model_name": "xl"}]
        fake.script("/sdapi/v1/sd-models", replying(listed), times=None)
        for flag in ("it=URL", "image:it=URL"):
            [report] = await reported(fake, flag)
            assert told(report) == ("automatic1111", ("image",), ("stable-diffusion.cpp",), [("it", "image")])
        [report] = await reported(fake, "llm:it=URL")
        assert not report.healthy


async def test_servers_of_images_share_the_lane_of_their_machine(reported):
    async with PictureServer() as one, Gateway(PICTURES) as two, Gateway(CHAT) as other:
        flags = (f"a={one.url}", f"b={two.url}", f"c={other.url}")
        reports = await reported(one, *flags, image_slots=2)
        assert [(report.lane, report.lane_slots) for report in reports] == [("image", 2), ("image", 2), ("", 1)]


async def test_a_server_of_films_is_none_of_pictures(reported):
    async with PictureServer(modes=("vid_gen",)) as fake:
        [report] = await reported(fake)
        assert report.error.endswith("makes no pictures: its model is for vid_gen.")
        [report] = await reported(fake, "stt:it=URL")
        assert report.error.endswith("makes pictures: it cannot serve stt.")


@pytest.mark.parametrize(
    ("routes", "modality", "operations"),
    [
        ((CHAT, TEXT), "llm", ("chat", "generate")),
        ((CHAT,), "llm", ("chat",)),
        ((VECTORS,), "embed", ("embed",)),
        ((PICTURES,), "image", ("image",)),
        ((SPEECH,), "stt", ("transcribe",)),
        ((SCORES,), "rerank", ("rerank",)),
        ((CHAT, TEXT, VECTORS, PICTURES, SPEECH), "llm", ("chat", "generate")),
    ],
)
@pytest.mark.parametrize("models", [("m",), None], ids=["listed", "unlisted"])
async def test_any_other_server_is_for_what_it_has_routes_for(reported, routes, modality, operations, models):
    async with Gateway(*routes, models=models) as fake:
        [report] = await reported(fake)
        assert told(report) == ("openai", operations, ("openai",), [("m" if models else "it", modality)])


async def test_a_server_for_several_kinds_is_each_of_them_that_its_owner_names(reported):
    async with Gateway(CHAT, VECTORS, SPEECH, models=("a", "b")) as fake:
        reports = await reported(fake, "llm:talk=URL", "embed:vectors=URL", "stt:URL", "rerank:scores=URL")
        assert [(report.name, report.operations, {m.modality for m in report.models}) for report in reports[:3]] == [
            ("talk", ("chat",), {"llm"}),
            ("vectors", ("embed",), {"embed"}),
            (f"stt-{fake.port}", ("transcribe",), {"stt"}),
        ]
        assert not reports[3].healthy
        assert reports[3].error.endswith("does not serve /v1/rerank: it is no engine for rerank.")


async def test_several_kinds_and_no_chat_are_asked_back(reported):
    async with Gateway(VECTORS, SCORES) as fake:
        [report] = await reported(fake)
        assert report.error == (
            f"{fake.url} serves embed and rerank: say which is meant, as in --engine embed:NAME={fake.url}."
        )


async def test_a_server_of_pages_is_no_engine(reported):
    async with Gateway() as fake:
        fake.script("*", failing(200, b"<html>All is well</html>", "text/html"), times=None)
        [report] = await reported(fake)
        assert not report.healthy
        assert "serves nothing that Herd knows" in report.error


@pytest.mark.parametrize(
    ("routes", "modality", "operations"),
    [
        ((CHAT, TEXT), "llm", ("chat", "generate")),
        ((VECTORS,), "embed", ("embed",)),
        ((SCORES,), "rerank", ("rerank",)),
    ],
)
async def test_vllm_has_every_route_and_is_asked_what_its_model_can(reported, routes, modality, operations):
    async with Gateway(*routes, models=("qwen",), owner="vllm") as fake:
        [report] = await reported(fake)
        assert told(report) == ("openai", operations, ("openai",), [("qwen", modality)])


async def test_lm_studios_operations_are_those_of_its_models(reported):
    rows = [{"id": "nomic", "type": "embeddings", "state": "loaded"}]
    async with Gateway(CHAT, VECTORS, models=("nomic",)) as fake:
        for more, operations in (([], ("embed",)), ([{"id": "q", "type": "llm"}], ("chat", "generate", "embed"))):
            fake.unscript()
            fake.script("/api/v0/models", replying({"object": "list", "data": [*rows, *more]}), times=None)
            [report] = await reported(fake)
            assert report.operations == operations


async def test_a_llama_server_is_for_what_it_was_started_for(reported):
    async with FakeLlama() as fake:
        [report] = await reported(fake)
        assert (report.operations, report.models[0].modality) == (("chat", "generate"), "llm")
        fake.reranks = fake.embeddings = True  # ranking brings the route of vectors along
        [report] = await reported(fake)
        assert (report.operations, report.models[0].modality) == (("rerank",), "rerank")
        fake.reranks, fake.writes = False, False
        [report] = await reported(fake)
        assert (report.operations, report.models[0].modality) == (("embed",), "embed")
        [report] = await reported(fake, "llm:it=URL")
        assert "is no engine for llm" in report.error


async def test_a_llama_server_that_writes_and_embeds_is_a_chat_model_that_embeds(reported):
    async with FakeLlama() as fake:
        fake.embeddings = True
        [report] = await reported(fake)
        assert (report.operations, report.models[0].modality) == (("chat", "generate", "embed"), "llm")
        [report] = await reported(fake, "embed:it=URL")
        assert (report.operations, report.models[0].modality) == (("embed",), "embed")
        unable = b'{"error":{"code":400,"message":"Pooling type \'none\' is not OAI compatible."}}'
        fake.script("/v1/embeddings", failing(400, unable), times=None)
        [report] = await reported(fake)
        assert report.operations == ("chat", "generate")


async def test_a_router_of_llama_servers_tells_by_their_arguments_what_they_are_for(reported):
    async with FakeLlama(FakeModel("chat"), FakeModel("vectors"), FakeModel("scores")) as fake:
        fake.router = True
        fake.arguments = {"vectors": ["llama-server", "--embeddings"], "scores": ["llama-server", "--reranking"]}
        [report] = await reported(fake)
        assert [model.modality for model in report.models] == ["llm", "embed", "rerank"]
        assert report.operations == ("chat", "generate", "embed", "rerank")


async def test_an_ollama_tells_itself_what_its_models_are_for(reported):
    async with FakeOllama(FakeModel("minilm", capabilities=("embedding",))) as fake:
        [report] = await reported(fake)
        assert (report.kind, report.models[0].modality) == ("ollama", "embed")
        [report] = await reported(fake, "embed:it=URL")
        assert report.error.endswith("leave embed: out.")


async def test_what_comes_back_at_a_url_may_be_another_engine(http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(discover, "OLLAMA_PORT", 9)
    async with FakeLlama() as llama:
        port = llama.port
        engines = Engines(
            ollama_host="http://127.0.0.1:9", engine_flags=(f"it={llama.url}",), models_dir=tmp_path / "none",
            slots=None, http=http, lan_addresses=list, well_known=(), finders=(),
        )  # fmt: skip
        [first] = await engines.observe()
        assert first.operations == ("chat", "generate")
    [gone] = await engines.observe()
    assert (gone.healthy, gone.stale) == (False, True)
    async with WhisperServer(port=port):
        [second] = await engines.observe()
        assert told(second) == WHISPERED


async def test_what_surely_is_an_engine_is_found_on_the_well_known_ports(http, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(discover, "OLLAMA_PORT", 9)
    async with WhisperServer() as speech, PictureServer() as pictures, Gateway(CHAT) as other:
        engines = Engines(
            ollama_host="http://127.0.0.1:9", engine_flags=(), models_dir=tmp_path / "none", slots=None, http=http,
            lan_addresses=list, well_known=(speech.port, pictures.port, other.port), finders=(),
        )  # fmt: skip
        names = {report.name for report in await engines.observe()}
        assert names == {f"whisper.cpp-{speech.port}", f"stable-diffusion.cpp-{pictures.port}"}
