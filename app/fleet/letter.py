"""A heartbeat without what no honest node says: endless lists, control characters, negative sizes. Pure; knows no node.

What makes no sense is left out or cut, never refused: a machine whose one engine reports nonsense keeps its others.
"""

from typing import TypeVar

import msgspec

from app.fleet.admission import NAME
from node.wire import Capacity, EngineReport, Gpu, Heartbeat, Machine, ModelReport, Traffic

NAME_MOST = 200
"""Longest model name that is believed, and longest of all other words, in characters."""
MODELS_MOST = 5000
"""Models of one node that are believed."""
ENGINES_MOST = 64
WORDS_MOST = 64
"""Words in one list: capabilities, operations, dialects, graphics cards."""
BYTES_MOST = 2**53
COUNT_MOST = 2**31 - 1
SLOTS_MOST = 4096
DEGREES_MOST = 273.0

Report = TypeVar("Report", bound=msgspec.Struct)


def bounded(letter: Heartbeat) -> Heartbeat:
    """The letter as the registry may believe it."""
    engines: dict[str, EngineReport] = {}
    room = MODELS_MOST
    for engine in letter.engines[:ENGINES_MOST]:
        if NAME.fullmatch(engine.name) and engine.name not in engines:
            engines[engine.name] = heard = _engine(engine, room)
            room -= len(heard.models)
    return _replaced(
        letter,
        version=_word(letter.version),
        advertise_host=_word(letter.advertise_host),
        machine=_machine(letter.machine),
        engines=tuple(engines.values()),
        traffic=tuple(_traffic(traffic) for traffic in letter.traffic[:ENGINES_MOST] if NAME.fullmatch(traffic.engine)),
        capacity=None if letter.capacity is None else _capacity(letter.capacity),
        failures=_replaced(
            letter.failures, count=_number(letter.failures.count, COUNT_MOST), last=_word(letter.failures.last)
        ),
    )


def _engine(engine: EngineReport, room: int) -> EngineReport:
    models = tuple(_model(model) for model in engine.models[:room] if _is_name(model.name))
    return _replaced(
        engine,
        kind=_word(engine.kind),
        version=_word(engine.version),
        error=_word(engine.error),
        operations=_words(engine.operations),
        dialects=_words(engine.dialects),
        lane=_word(engine.lane),
        lane_slots=min(max(engine.lane_slots, 1), SLOTS_MOST),
        progress=None if engine.progress is None else min(max(engine.progress, 0.0), 1.0),
        models=engine.models if models == engine.models else models,
    )


def _model(model: ModelReport) -> ModelReport:
    return _replaced(
        model,
        modality=_word(model.modality),
        size_bytes=_known(model.size_bytes, BYTES_MOST),
        resident_bytes=_known(model.resident_bytes, BYTES_MOST),
        vram_bytes=_known(model.vram_bytes, BYTES_MOST),
        context_length=_known(model.context_length, COUNT_MOST),
        context_max=_known(model.context_max, COUNT_MOST),
        slots=min(max(model.slots, 1), SLOTS_MOST),
        digest=_word(model.digest),
        modified_at=_word(model.modified_at),
        expires_at=_word(model.expires_at),
        format=_word(model.format),
        family=_word(model.family),
        parameters=_word(model.parameters),
        quantization=_word(model.quantization),
        capabilities=_words(model.capabilities),
    )


def _machine(machine: Machine) -> Machine:
    total = _number(machine.memory_total_bytes, BYTES_MOST)
    return _replaced(
        machine,
        os=_word(machine.os),
        arch=_word(machine.arch),
        chip=_word(machine.chip),
        cores=_number(machine.cores, SLOTS_MOST),
        cpu_percent=_share(machine.cpu_percent) or 0.0,
        memory_total_bytes=total,
        memory_available_bytes=_number(machine.memory_available_bytes, total),
        swap_total_bytes=_known(machine.swap_total_bytes, BYTES_MOST),
        swap_used_bytes=_known(machine.swap_used_bytes, BYTES_MOST),
        disk_free_bytes=_known(machine.disk_free_bytes, BYTES_MOST),
        disk_total_bytes=_known(machine.disk_total_bytes, BYTES_MOST),
        temperature_c=_degrees(machine.temperature_c),
        battery_percent=_share(machine.battery_percent),
        gpus=tuple(_gpu(gpu) for gpu in machine.gpus[:WORDS_MOST]),
    )


def _gpu(gpu: Gpu) -> Gpu:
    total = _number(gpu.memory_total_bytes, BYTES_MOST)
    return _replaced(
        gpu,
        name=_word(gpu.name),
        memory_total_bytes=total,
        memory_free_bytes=_number(gpu.memory_free_bytes, total),
        busy_percent=_share(gpu.busy_percent),
        temperature_c=_degrees(gpu.temperature_c),
    )


def _traffic(traffic: Traffic) -> Traffic:
    return _replaced(
        traffic,
        requests=_number(traffic.requests, BYTES_MOST),
        bytes_in=_number(traffic.bytes_in, BYTES_MOST),
        bytes_out=_number(traffic.bytes_out, BYTES_MOST),
        direct_clients=tuple(
            _replaced(client, peer=_word(client.peer), connections=_number(client.connections, COUNT_MOST))
            for client in traffic.direct_clients[:WORDS_MOST]
        ),
    )


def _capacity(capacity: Capacity) -> Capacity:
    return _replaced(
        capacity,
        availability=min(max(capacity.availability, 0.0), 1.0),
        ceiling_bytes=_number(capacity.ceiling_bytes, BYTES_MOST),
        reason=_word(capacity.reason),
        days_observed=_number(capacity.days_observed, COUNT_MOST),
        until=capacity.until if capacity.until is not None and 0 < capacity.until < COUNT_MOST * 2 else None,
        confidence=min(max(capacity.confidence, 0.0), 1.0),
        trend=min(max(capacity.trend, -1.0), 1.0),
        week=_word(capacity.week),
    )


def _replaced(report: Report, **fields: object) -> Report:
    """The very same report if nothing changed: most letters are honest, and equality is how changes are seen."""
    if all(getattr(report, name) == value for name, value in fields.items()):
        return report
    return msgspec.structs.replace(report, **fields)


def _word(text: str) -> str:
    if len(text) <= NAME_MOST and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text[:NAME_MOST])


def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_word, words[:WORDS_MOST]))


def _number(number: int, most: int) -> int:
    return min(max(number, 0), most)


def _known(number: int | None, most: int) -> int | None:
    """A number that cannot be is taken for one that was not told."""
    return number if number is not None and 0 <= number <= most else None


def _share(percent: float | None) -> float | None:
    return None if percent is None else min(max(percent, 0.0), 100.0)


def _degrees(celsius: float | None) -> float | None:
    return celsius if celsius is not None and -DEGREES_MOST <= celsius <= DEGREES_MOST else None


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MOST and name.isprintable()
