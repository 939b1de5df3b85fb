"""Letters that parse but say what no honest node says."""

import msgspec
from builders import engine, machine, model, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.fleet.letter import MODELS_MOST, bounded
from node.wire import Capacity, DirectClient, EngineReport, Gpu, Heartbeat, Machine, ModelReport, Traffic


def test_an_honest_letter_is_the_very_same() -> None:
    letter = node("a", model("m:1", gb=2, loaded=True), capacity=Capacity(availability=0.5))
    assert bounded(letter) is letter


def test_numbers_that_cannot_be_are_not_believed() -> None:
    wrong = model("m:1", size_bytes=-1, resident_bytes=2**80, context_length=-5, context_max=2**40, slots=-3)
    gpu = Gpu(name="g", memory_total_bytes=1, memory_free_bytes=9)
    told = machine(1, 2, cpu_percent=-1e300, cores=-1, battery_percent=400.0, temperature_c=5e9, gpus=(gpu,))
    heard = bounded(node("a", wrong, machine=told, capacity=Capacity(availability=1e308, ceiling_bytes=-1)))
    [heard_model] = heard.engines[0].models
    assert heard_model == ModelReport(name="m:1")
    assert heard.machine.memory_available_bytes == heard.machine.memory_total_bytes
    assert (heard.machine.cpu_percent, heard.machine.cores) == (0.0, 0)
    assert heard.machine.gpus[0].memory_free_bytes == 1
    assert (heard.machine.battery_percent, heard.machine.temperature_c) == (100.0, None)
    assert heard.capacity == Capacity()
    told = Capacity(until=-1.0, confidence=7, trend=-9, week="\n" * 9000)
    assert bounded(node("a", capacity=told)).capacity == Capacity(confidence=1.0, trend=-1.0, week=" " * 200)


def test_traffic_is_bounded_like_everything_else() -> None:
    clients = (DirectClient(peer="\x1b[31m" * 99, connections=-4),) * 1000
    told = (Traffic(engine="ollama", requests=-1, bytes_in=2**60, direct_clients=clients), Traffic(engine="../x"))
    [heard] = bounded(msgspec.structs.replace(node("a"), traffic=told)).traffic
    assert (heard.requests, heard.bytes_in, len(heard.direct_clients)) == (0, 2**53, 64)
    assert heard.direct_clients[0].connections == 0
    assert heard.direct_clients[0].peer.isprintable()


def test_words_are_short_and_printable() -> None:
    wrong = model("m:1", family="\x1b[31mred\r\nX: y", digest="d" * 10_000, capabilities=("vision\n",) * 1000)
    heard = bounded(node("a", engines=(engine(wrong, version="0.1\r\nSet-Cookie: x", error="e" * 10_000),)))
    [report] = heard.engines
    [heard_model] = report.models
    assert (heard_model.family, report.version) == (" [31mred  X: y", "0.1  Set-Cookie: x")
    assert max(map(len, (heard_model.digest, report.error))) == 200
    assert heard_model.capabilities == ("vision ",) * 64


def test_an_engine_told_twice_counts_once_and_models_are_bounded_over_all_engines() -> None:
    many = [model(f"m{number}:1") for number in range(MODELS_MOST)]
    reports = (engine(*many, name="a"), engine(model("x:1"), name="a"), engine(*many, name="b"), engine(name="../c"))
    heard = bounded(node("n", engines=reports))
    assert [(report.name, len(report.models)) for report in heard.engines] == [("a", MODELS_MOST), ("b", 0)]


ANY = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=300)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    numbers=st.lists(ANY, min_size=9, max_size=9),
    words=st.lists(TEXT, min_size=6, max_size=6),
    share=st.floats(allow_nan=False),
)
def test_whatever_a_letter_says_what_is_believed_can_be_shown(
    numbers: list[int], words: list[str], share: float
) -> None:
    told = ModelReport(
        name=words[0], family=words[1], slots=numbers[0], size_bytes=numbers[1], resident_bytes=numbers[2],
        context_length=numbers[3], context_max=numbers[4], capabilities=tuple(words),
    )  # fmt: skip
    letter = Heartbeat(
        node_id="a",
        version=words[2],
        machine=Machine(
            chip=words[3],
            cores=numbers[5],
            cpu_percent=share,
            memory_total_bytes=numbers[6],
            memory_available_bytes=numbers[7],
            disk_free_bytes=numbers[8],
            swap_used_bytes=numbers[0],
            temperature_c=share,
            battery_percent=share,
            gpus=(Gpu(name=words[0], busy_percent=share, temperature_c=share),),
        ),
        engines=(EngineReport(name="e", kind=words[4], version=words[5], models=(told,)),),
        capacity=Capacity(availability=share, ceiling_bytes=numbers[0], reason=words[1]),
    )
    heard = bounded(letter)
    assert bounded(heard) == heard
    assert all(c.isprintable() for c in msgspec.json.encode(heard).decode())
    machine_heard = heard.machine
    assert 0 <= machine_heard.memory_available_bytes <= machine_heard.memory_total_bytes
    for report in heard.engines:
        assert all(1 <= one.slots <= 4096 and one.name for one in report.models)
