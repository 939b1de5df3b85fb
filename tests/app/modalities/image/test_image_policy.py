"""Where a picture is made: whoever is idle, and no large machine draws a whole burst. Without a socket."""

from collections import Counter

import msgspec
import pytest
from builders import candidate, demand, engine, machine, model, node
from fleet_builders import job
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import Catalog
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.queue import Lease, Ticket
from app.fleet.registry import Registry
from app.modalities.image.manifest import MODALITY
from app.scoring.chain import Chain, rank
from app.scoring.types import Candidate
from node.wire import Heartbeat

assert MODALITY.policy is not None
POLICY = MODALITY.policy
MODELS = ("flux-dev", "flux-schnell")
WANTED = demand("flux-dev", modality="image", operation="image")


def painter(node_id: str, total_gb: float, *, loaded: bool = False, running_gb: float = 0) -> Heartbeat:
    models = tuple(model(name, gb=running_gb, modality="image", loaded=loaded) for name in MODELS)
    mflux = engine(*models, name="mflux", operations=("image",), dialects=("openai",), lane="image")
    return node(node_id, engines=(mflux,), machine=machine(total_gb, total_gb * 0.75))


def burst(*heartbeats: Heartbeat, count: int, p75_s: dict[str, float]) -> list[tuple[Ticket, Lease | None]]:
    """What becomes of so many requests that come at once, for the models in turn."""
    registry, latency = Registry(timeout_s=15, offline_s=30), Latency()
    for heartbeat in heartbeats:
        registry.apply(heartbeat, "127.0.0.1", 0.0)
        for name in MODELS:
            if heartbeat.node_id in p75_s:
                latency.observe(heartbeat.node_id, f"{name}:latest", p75_s[heartbeat.node_id])
    court = Court(
        registry=registry, latency=latency, chains={"image": Chain(POLICY)}, operations={"image": "image"},
        catalog=Catalog.empty(),
    )  # fmt: skip
    came = []
    for number in range(count):
        one = msgspec.structs.replace(
            job(), demand=demand(MODELS[number % 2], modality="image", operation="image"), stream=False
        )
        ticket = court.queue.enter(one, 0.0)
        lease = court.queue.try_now(ticket, 0.0)
        if lease is None:
            court.queue.wait(ticket)
        came.append((ticket, lease))
    return came


@given(
    gbs=st.tuples(st.sampled_from([16, 64, 512]), st.sampled_from([16, 64, 512])),
    sizes=st.sampled_from([0, 8, 24]),
    p75_s=st.tuples(st.floats(5, 300), st.floats(5, 300)),
)
def test_a_burst_takes_every_node_before_it_waits_for_any(
    gbs: tuple[int, int], sizes: int, p75_s: tuple[float, float]
) -> None:
    """However large, fast or known one of them is, and before any has reported to be busy."""
    fitting = [gb for gb in gbs if gb * 0.75 >= sizes * 1.2]
    nodes = (painter("a", gbs[0], running_gb=sizes), painter("b", gbs[1], running_gb=sizes))
    came = burst(*nodes, count=6, p75_s={"a": p75_s[0], "b": p75_s[1]})
    running = Counter(lease.key[0] for _, lease in came if lease)
    assert all(count == 1 for count in running.values())
    assert len(running) == len(fitting)


def test_a_large_machine_is_no_better_than_one_where_the_model_fits() -> None:
    def ranked(*candidates: Candidate) -> list[str]:
        return [one.candidate.node_id for one in rank(POLICY, WANTED, candidates).scored]

    facts = {"gb": 8, "model": model("flux-dev", modality="image"), "operations": ("image",), "engine": "mflux"}
    large = candidate("large", usable_gb=400, total_gb=512, others=1, **facts)
    small = candidate("small", usable_gb=12, total_gb=16, **facts)
    assert ranked(large, small) == ["small", "large"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"model": model("flux-dev")}, "of_modality"),
        ({"operations": ("chat",)}, "serves"),
        ({"usable_gb": 4.0, "gb": 8}, "memory_fits"),
        ({"pressure": "critical"}, "pressure_below"),
        ({"availability": 0.1}, "owner_away"),
        ({"status": "offline"}, "online"),
    ],
)
def test_who_cannot_make_it_is_refused_with_a_reason(facts: dict[str, object], reason: str) -> None:
    usual = {"model": model("flux-dev", modality="image"), "operations": ("image",), "engine": "mflux"}
    [refused] = rank(POLICY, WANTED, [candidate("a", **{**usual, **facts})]).refused  # type: ignore[arg-type]
    assert refused.filter == reason
