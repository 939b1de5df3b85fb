"""What /dashboard/api/traces tells of a request, in the names that dashboards read."""

from fakes.fake_ollama import FakeOllama
from running import running_router

NAMES = {
    "id", "request_id", "model", "original_model", "node_id", "score", "scores_breakdown", "status", "latency_ms",
    "time_to_first_token_ms", "prompt_tokens", "completion_tokens", "retry_count", "fallback_used", "excluded_nodes",
    "client_ip", "original_format", "error_message", "timestamp", "tags",
}  # fmt: skip


async def test_each_row_has_the_names_that_dashboards_know_and_an_id_of_its_own() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        for _ in range(2):
            await router.http.post("/api/generate", json={"model": "smollm2:135m", "prompt": "Hi", "stream": False})
        first, second = await router.traces(2)
        assert first.keys() >= NAMES
        assert first["id"] != second["id"]
        assert first["attempts"][0]["outcome"] == "completed"
