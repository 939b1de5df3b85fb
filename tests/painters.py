"""Nodes that make pictures, as they report themselves, and what is asked of them. Knows no engine."""

from typing import Any

from fakes.fake_images import FakeImages
from running import RunningRouter

from node.wire import EngineReport, Heartbeat, Machine, ModelReport

GIB = 1024**3
OWN, OPENAI = "/api/generate-image", "/v1/images/generations"
ASKED: dict[str, Any] = {"model": "flux-schnell", "prompt": "a sunset over mountains"}


def painting(*models: str, port: int, name: str = "mflux", **more: Any) -> EngineReport:
    """An engine of the node's own that makes these models, one picture at a time over all of the lane."""
    facts: dict[str, Any] = {
        "kind": name,
        "operations": ("image",),
        "dialects": ("openai",),
        "reach": "loopback",
        "lane": "image",
        "models": tuple(ModelReport(name=model, modality="image") for model in models or ("flux-schnell",)),
    }
    return EngineReport(name=name, port=port, **{**facts, **more})


def painter(node_id: str, *engines: EngineReport, memory_gb: float = 64) -> Heartbeat:
    total = int(memory_gb * GIB)
    machine = Machine(
        memory_total_bytes=total, memory_available_bytes=total * 3 // 4, pressure="normal", cores=8
    )  # fmt: skip
    return Heartbeat(node_id=node_id, machine=machine, engines=engines)


def words_of(answer: Any) -> str:
    """The error's message, in the dialect of the path."""
    error = answer.json()["error"]
    if answer.request.url.path.startswith("/v1"):
        assert {"message", "type", "code"} <= error.keys()
        error = error["message"]
    assert isinstance(error, str)
    return error


async def join(router: RunningRouter, node_id: str, fake: FakeImages, *models: str, **more: Any) -> None:
    await router.beat(painter(node_id, painting(*models, port=fake.port, **more)))
