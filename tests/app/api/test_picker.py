"""What Codex's model picker reads: entries whose words its closed lists know, beside OpenAI's own list."""

from fakes.fake_ollama import FakeOllama
from running import loaded, running_router


async def test_models_that_chat_are_offered_with_what_the_fleet_knows_of_them() -> None:
    async with FakeOllama() as fake, running_router() as router:
        seeing = loaded("qwen3-vl:8b", context_length=None, context_max=262_144, capabilities=("completion", "vision"))
        embeds = loaded("bge-m3", modality="embed", capabilities=("embedding",))
        await router.join("a", fake, loaded(), seeing, embeds, operations=("chat", "generate", "embed"))
        told = (await router.http.get("/v1/models")).json()
        assert [model["id"] for model in told["data"]] == ["bge-m3", "qwen3-vl:8b", "smollm2:135m"]
        assert set(told["data"][0]) == {"id", "object", "created", "owned_by"}
        [sees, small] = told["models"]
        assert (sees["slug"], sees["context_window"], sees["supports_vision"]) == ("qwen3-vl:8b", 262_144, True)
        assert (small["slug"], small["context_window"], small["max_output_tokens"]) == ("smollm2:135m", 4096, 4096)
        assert (small["visibility"], small["shell_type"], small["truncation_policy"]["mode"]) == (
            "list", "default", "tokens",
        )  # fmt: skip
