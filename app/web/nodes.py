"""A node as its card shows it: state in a word, gauges, engines, models in memory. Pure; knows no HTML and no clock."""

import shlex

import msgspec

from app.fleet.snapshot import LineView, ModalityView, NodeView
from app.web.view import dom_key, seconds, size, tokens
from node.wire import Capacity, CapacityMode, DirectClient, EngineReport, Machine, ModelReport, model_key

STATE_WORDS = {
    "online": "Online",
    "degraded": "Degraded",
    "offline": "Offline",
    "draining": "Draining",
    "waiting": "Waiting for approval",
}
PRESSURE_WORDS = {"warn": "Memory pressure", "critical": "Critical memory pressure"}
MODE_WORDS: dict[CapacityMode, str] = {
    "full": "Full",
    "learned_high": "High",
    "learned_medium": "Medium",
    "learned_low": "Low",
    "bootstrap": "Still learning",
    "paused": "Paused",
}
REASONS = {
    "meeting_detected": "camera or microphone in use",
    "sustained_high_cpu": "its owner needs all of it",
    "manual_override": "as its owner said",
    "operator_override": "as the operator said",
    "historically_busy_slot": "usually busy at this hour",
    "bootstrap_observation_period": "its first days: trusted less",
    "owner_at_work": "its owner is at work",
}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = 168
TREND_SHOWN = 0.2
PIPS_AT_MOST = 12
BYPASSES_AT_MOST = 5


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """``share`` is 0 to 1; ``text`` says it with its unit."""

    label: str
    share: float
    text: str
    icon: str = ""


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """``pips`` tells each slot, busy first; empty when there are too many to draw."""

    busy: int
    total: int
    pips: tuple[bool, ...] = ()


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """One model in memory. ``facts`` are size, quantisation and context, as far as the engine told them."""

    name: str
    icon: str
    modality: str
    facts: tuple[str, ...]
    slots: Slots
    waiting: int = 0


class EngineCard(msgspec.Struct, frozen=True, kw_only=True):
    """``stale``: the engine is down and its models are those it had last. ``bypassed``: who uses it past the router.
    ``resting``: it failed again and again and is left alone for a moment.

    ``progress``: of what it makes now. Among the ``loaded`` are those at work now, also of a program that keeps none in
    memory.
    """

    name: str
    title: str
    healthy: bool
    stale: bool
    error: str
    bypassed: str
    progress: str
    loaded: tuple[Chip, ...]
    stored: tuple[str, ...]
    resting: bool = False


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the week: tenths of availability for each hour, None where nothing was seen."""

    name: str
    hours: tuple[int | None, ...]


class CapacityCard(msgspec.Struct, frozen=True, kw_only=True):
    """``until`` is when a pause ends by itself (Unix epoch seconds); ``week`` is empty where nothing was learned."""

    word: str
    gauge: Gauge
    ceiling: str
    reason: str
    owner: str
    until: float | None
    week: tuple[Day, ...]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator may do to a node. ``verb`` is the endpoint's, ``lasts`` how long a pause is ("": for good).

    ``sure`` is asked before it is done.
    """

    verb: str
    label: str
    lasts: str = ""
    sure: str = ""


class NodeCard(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is a key of STATE_WORDS; ``alarm`` is set by real memory pressure or heat, never by a full memory.

    ``feels`` are heat, power and how busy its graphics processors are, as far as the machine tells.
    A node that is offline or waits for approval serves nobody: it has no gauges and no engines, and is a slim row.
    """

    key: str
    name: str
    state: str
    word: str
    note: str
    address: str
    version: str
    about: str
    feels: tuple[str, ...]
    running: int
    waiting: int
    alarm: str
    alarm_word: str
    link_failures: int
    gauges: tuple[Gauge, ...]
    engines: tuple[EngineCard, ...]
    capacity: CapacityCard | None
    approve: str
    actions: tuple[Action, ...]


def node_card(node: NodeView, lines: tuple[LineView, ...], modalities: tuple[ModalityView, ...] = ()) -> NodeCard:
    state = _state(node)
    live = state in {"online", "degraded", "draining"}
    alarm, alarm_word = _alarm(node.machine) if live else ("", "")
    icons = {modality.name: modality.icon for modality in modalities}
    clients = {traffic.engine: traffic.direct_clients for traffic in node.traffic}
    by_model = {model_key(line.model): line for line in lines if line.node_id == node.node_id}
    return NodeCard(
        key=f"node-{dom_key(node.node_id)}",
        name=node.node_id,
        state=state,
        word=STATE_WORDS[state],
        note=_note(node, state),
        address=node.address,
        version=node.version,
        about=_about(node.machine),
        feels=_feels(node.machine) if live else (),
        running=node.running,
        waiting=node.waiting,
        alarm=alarm,
        alarm_word=alarm_word,
        link_failures=node.link_failures,
        gauges=_gauges(node.machine) if live else (),
        engines=tuple(
            _engine(one, by_model, icons, clients.get(one.name, ()), one.name in node.resting) for one in node.engines
        )
        if live
        else (),
        capacity=_capacity(node.capacity) if node.capacity is not None and live else None,
        approve=f"herd approve {shlex.quote(node.node_id)}" if state == "waiting" else "",
        actions=_actions(node, state),
    )


def _actions(node: NodeView, state: str) -> tuple[Action, ...]:
    """What makes sense for a node as it is now."""
    if state in {"offline", "waiting"}:
        sure = f"Forget {node.node_id}? Its name becomes free; the machine may ask to join again. Its history stays."
        return (Action(verb="forget", label="Forget", sure=sure),)
    if state == "draining" or (node.capacity is not None and node.capacity.mode == "paused"):
        return (Action(verb="resume", label="Resume"),)
    return (
        Action(verb="drain", label="Drain"),
        Action(verb="pause", label="Pause for 1 h", lasts="1h"),
        Action(verb="pause", label="Pause for 8 h", lasts="8h"),
        Action(verb="pause", label="Pause until resumed"),
    )


def _state(node: NodeView) -> str:
    if node.waiting_approval:
        return "waiting"
    if node.draining and node.status != "offline":
        return "draining"
    return node.status


def _note(node: NodeView, state: str) -> str:
    """The age of the last heartbeat matters only once it is late; it is coarse so that a card does not flicker."""
    if state not in {"degraded", "offline"}:
        return ""
    age = node.seen_s_ago
    coarse = age if age < 60 else age // 60 * 60
    return f"last heartbeat {seconds(coarse)} ago"


def _about(machine: Machine) -> str:
    parts = [machine.chip, *(gpu.name for gpu in machine.gpus if gpu.name != machine.chip)]
    if machine.memory_total_bytes:
        parts += [f"{machine.cores} cores" if machine.cores != 1 else "1 core"]
    if machine.os != "unknown":
        parts += [f"{machine.os} {machine.arch}" if machine.arch != "unknown" else machine.os]
    return " · ".join(part for part in parts if part)


def _alarm(machine: Machine) -> tuple[str, str]:
    """How bad it is, and in words: memory and heat, both if it is both."""
    pressure = machine.pressure if machine.pressure in PRESSURE_WORDS else ""
    hot = machine.thermal == "warning"
    words = [PRESSURE_WORDS.get(pressure, ""), "Running hot" if hot else ""]
    return pressure or ("warn" if hot else ""), " · ".join(word for word in words if word)


def _feels(machine: Machine) -> tuple[str, ...]:
    battery = machine.battery_percent
    charge = "" if battery is None else f" {battery:.0f} %"
    return (
        *([f"{machine.temperature_c:.0f} °C"] if machine.temperature_c is not None else []),
        *([f"on battery{charge}"] if machine.power == "battery" else []),
        *(f"GPU {gpu.busy_percent:.0f} % busy" for gpu in machine.gpus if gpu.busy_percent is not None),
    )


def _gauges(machine: Machine) -> tuple[Gauge, ...]:
    if not machine.memory_total_bytes:
        return ()
    used = max(0, machine.memory_total_bytes - machine.memory_available_bytes)
    gauges = [
        Gauge(label="CPU", share=share(machine.cpu_percent, 100), text=f"{machine.cpu_percent:.0f} %", icon="cpu"),
        _memory_gauge("Memory", used, machine.memory_total_bytes, "memory-stick"),
    ]
    for number, gpu in enumerate(machine.gpus, start=1):
        if gpu.memory_total_bytes:
            taken = max(0, gpu.memory_total_bytes - gpu.memory_free_bytes)
            label = "GPU memory" if len(machine.gpus) == 1 else f"GPU {number}"
            gauges.append(_memory_gauge(label, taken, gpu.memory_total_bytes, "gpu"))
    return tuple(gauges)


def _memory_gauge(label: str, used: int, total: int, icon: str) -> Gauge:
    return Gauge(label=label, share=share(used, total), text=used_of(used, total), icon=icon)


def used_of(used: int, total: int) -> str:
    """``61.0 / 64.0 GiB``: the unit once, if it is the same."""
    one, two = size(used), size(total)
    return f"{one.split()[0]} / {two}" if one.split()[1] == two.split()[1] else f"{one} / {two}"


def share(part: float, whole: float) -> float:
    """Part of the whole, 0 to 1, in steps of half a percent: what an eye cannot see need not be sent."""
    return round(min(1.0, max(0.0, part / whole)) * 200) / 200 if whole > 0 else 0.0


def _engine(
    engine: EngineReport,
    lines: dict[str, LineView],
    icons: dict[str, str],
    clients: tuple[DirectClient, ...],
    resting: bool,
) -> EngineCard:
    kind = engine.kind or engine.name
    title = f"{engine.name} ({kind})" if engine.name != kind else kind
    stale = engine.stale or not engine.healthy

    running = {key for key, line in lines.items() if line.running}
    loaded: list[ModelReport] = []
    stored: list[str] = []
    for model in engine.models:
        if model.loaded or (running and model_key(model.name) in running):
            loaded.append(model)
        else:
            stored.append(model.name)
    return EngineCard(
        name=engine.name,
        title=f"{title} {engine.version}".strip(),
        healthy=engine.healthy,
        stale=stale,
        error=engine.error,
        bypassed=", ".join(client.peer for client in clients[:BYPASSES_AT_MOST]),
        progress="" if engine.progress is None else f"{engine.progress * 100:.0f} % done",
        loaded=tuple(
            _chip(model, lines.get(model_key(model.name)), icons.get(model.modality, "box")) for model in loaded
        ),
        stored=tuple(sorted(stored)),
        resting=resting,
    )


def _chip(model: ModelReport, line: LineView | None, icon: str) -> Chip:
    weight = model.resident_bytes if model.resident_bytes is not None else model.size_bytes
    facts = [
        model.parameters,
        model.quantization,
        size(weight) if weight else "",
        f"{tokens(model.context_length)} context" if model.context_length else "",
    ]
    return Chip(
        name=model.name,
        icon=icon,
        modality=model.modality,
        facts=tuple(fact for fact in facts if fact),
        slots=slots(line.running if line else 0, line.slots if line else model.slots),
        waiting=line.waiting if line else 0,
    )


def slots(busy: int, total: int) -> Slots:
    total = max(total, 1)
    pips = tuple(place < busy for place in range(total)) if total <= PIPS_AT_MOST else ()
    return Slots(busy=busy, total=total, pips=pips)


def _capacity(capacity: Capacity) -> CapacityCard:
    part = share(capacity.availability, 1)
    return CapacityCard(
        word=MODE_WORDS[capacity.mode],
        gauge=Gauge(label="Left to the fleet", share=part, text=f"{part * 100:.0f} %", icon="clock"),
        ceiling=f"up to {size(capacity.ceiling_bytes)}" if capacity.ceiling_bytes else "",
        reason=REASONS.get(capacity.reason, capacity.reason.replace("_", " ")),
        owner=_owner(capacity),
        until=capacity.until,
        week=_week(capacity.week),
    )


def _owner(capacity: Capacity) -> str:
    """What the owner does, and where it goes; empty where the node does not learn."""
    if not capacity.week:
        return ""
    trend = "rising" if capacity.trend > TREND_SHOWN else "falling" if capacity.trend < -TREND_SHOWN else ""
    blind = "meetings cannot be seen" if capacity.meeting == "unavailable" else ""
    return ", ".join(filter(None, (f"owner's load: {capacity.workload}", trend, blind)))


def _week(drawn: str) -> tuple[Day, ...]:
    """The week as a node draws it; what is no week is not shown."""
    if len(drawn) != HOURS or drawn.strip("-") == "":
        return ()
    tenths = [int(mark) if mark in "0123456789" else None for mark in drawn]
    return tuple(Day(name=name, hours=tuple(tenths[day * 24 : day * 24 + 24])) for day, name in enumerate(DAYS))
