"""What a machine's processor lets expect while nothing was measured, and what becomes of that once something was."""

from pathlib import Path

import pytest
from builders import GIB, candidate, demand, machine, model, node
from fleet_builders import POLICY
from msgspec.structs import replace

from app.catalog import Catalog
from app.fleet import latency as durations
from app.fleet.judge import Court
from app.fleet.registry import Registry
from app.scoring import policy, speeds
from app.scoring.chain import Chain
from app.scoring.scorers import Latency
from app.scoring.types import Outlook
from node.wire import Gpu

KNOWN = speeds.load((Path(speeds.__file__).parent / "chips.toml").read_text("utf-8"))
BIG = 40 * GIB


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("Apple M2 Ultra", 800),
        ("Apple M2", 100),
        ("NVIDIA GeForce RTX 4090", 1008),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 504),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("AMD Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M", 960),
        ("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 256),
        ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", 50),
        ("Raspberry Pi 5 Model B Rev 1.0", 17),
    ],
)
def test_a_processor_is_known_by_the_longest_part_of_its_name(name: str, memory: float) -> None:
    chip = KNOWN.chip(name)
    assert chip is not None
    assert chip.memory == memory


@pytest.mark.parametrize("name", ["", "QEMU Virtual CPU", "Intel(R) Pentium(R)"])
def test_an_unknown_processor_lets_expect_nothing(name: str) -> None:
    assert KNOWN.outlook(machine(chip=name), BIG) == Outlook()


def test_a_model_of_unknown_size_lets_expect_nothing() -> None:
    assert KNOWN.outlook(machine(chip="Apple M2 Max"), None) == Outlook()


def test_writing_is_bounded_by_memory_and_reading_by_compute() -> None:
    slow, fast = (KNOWN.outlook(machine(chip=f"Apple {name}"), 8 * GIB) for name in ("M2", "M2 Ultra"))
    assert slow.write_rate == pytest.approx(7, rel=0.05)
    assert fast.write_rate == pytest.approx(8 * (slow.write_rate or 0))
    assert fast.read_rate is not None
    assert slow.read_rate is not None
    assert fast.read_rate > 7 * slow.read_rate > 100


def test_the_card_counts_if_the_model_fits_into_it_and_else_the_processor() -> None:
    cards = (Gpu(name="NVIDIA GeForce RTX 4090", memory_total_bytes=24 * GIB),)
    box = machine(chip="AMD Ryzen 9 7950X 16-Core Processor", gpus=cards)
    inside, beside = KNOWN.outlook(box, 8 * GIB), KNOWN.outlook(box, BIG)
    assert inside.write_rate == pytest.approx(0.6 * 1008e9 / (8 * GIB))
    assert beside.write_rate == pytest.approx(0.6 * 60e9 / BIG)


@pytest.mark.parametrize(
    ("write", "read", "tokens", "seconds"),
    [(None, None, 0, 40), (16.0, None, 0, 16), (16.0, 100.0, 1000, 26), (1e9, None, 0, 1), (1e-9, None, 0, 100)],
)
def test_the_pace_is_guessed_from_the_machine_where_it_is_known(
    write: float | None, read: float | None, tokens: int, seconds: float
) -> None:
    busy = candidate(gb=40, waiting=1, outlook=Outlook(write_rate=write, read_rate=read))
    asked = demand(prompt_tokens=tokens)
    assert Latency(weight=25).score(asked, busy) == pytest.approx(-seconds / 250)
    assert Latency(weight=25, guess_tokens=0).score(asked, busy) == pytest.approx(-40 / 250)


def test_what_was_measured_goes_before_every_guess() -> None:
    known = candidate(gb=40, waiting=2, p75_s=30.0)
    told = replace(known, outlook=Outlook(write_rate=1.0, read_rate=1.0))
    assert Latency(weight=25).score(demand(), told) == Latency(weight=25).score(demand(), known)


def test_the_judge_guesses_until_a_request_has_finished_there() -> None:
    registry, pace = Registry(timeout_s=15, offline_s=30), durations.Latency()
    mac = machine(chip="Apple M2 Max")
    registry.apply(node("mac", model("m:1", gb=8, loaded=True), machine=mac), "10.0.0.2", 0.0)
    court = Court(
        registry=registry, latency=pace, chains={"llm": Chain(policy.load(POLICY.read_text("utf-8")))},
        operations={"llm": "chat"}, catalog=Catalog.empty(), speeds=KNOWN,
    )  # fmt: skip
    [unknown] = court.candidates("m:1")
    assert unknown.outlook == KNOWN.outlook(mac, 8 * GIB)
    pace.observe("mac", "m:1", 3.0)
    [known] = court.candidates("m:1")
    assert known.outlook == Outlook()
