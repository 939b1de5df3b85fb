"""The contract between node and router: what a heartbeat says. Knows no HTTP, no engine and no policy.

Units: bytes and seconds, in the field's name. Unknown fields are ignored on both sides, so either may grow.
"""

from functools import lru_cache
from typing import Annotated, Literal

import msgspec

WIRE_VERSION = 1

Pressure = Literal["normal", "warn", "critical", "unavailable"]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Secret = Annotated[str, msgspec.Meta(max_length=200, pattern="^[!-~]*$")]
"""What may stand in a header: printable ASCII without spaces."""
Reach = Literal["lan", "loopback", "door"]
"""How an engine is reached: on the LAN, on its own machine's loopback only, or only through the node's door."""
Thermal = Literal["nominal", "warning", "unknown"]
Power = Literal["mains", "battery", "unavailable"]


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A graphics processor. ``unified``: it has no memory of its own but uses the machine's."""

    name: str
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    unified: bool = False
    busy_percent: float | None = None
    temperature_c: float | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine is and how it feels; None and "unavailable" say that the system does not tell.

    ``cpu_percent`` is 0 to 100 over all cores. In a container, memory is what the container may take.
    ``disk_free_bytes`` is of the disk on which its models lie. ``temperature_c`` is the hottest processor's.
    """

    os: str = "unknown"
    arch: str = "unknown"
    chip: str = ""
    cores: int = 1
    cpu_percent: float = 0.0
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    pressure: Pressure = "unavailable"
    swap_total_bytes: int | None = None
    swap_used_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None
    thermal: Thermal = "unknown"
    temperature_c: float | None = None
    power: Power = "unavailable"
    battery_percent: float | None = None
    gpus: tuple[Gpu, ...] = ()


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model of one engine, as the engine itself describes it.

    ``size_bytes`` is the size on disk, ``resident_bytes`` the memory it takes while loaded, of any kind, and
    ``vram_bytes`` how much of that is the GPU's (None: not told).
    ``context_length`` is the context allocated while loaded, ``context_max`` what the model was trained for.
    ``slots`` is how many requests the engine serves at once on this model.
    """

    name: str
    modality: str = "llm"
    loaded: bool = False
    size_bytes: int | None = None
    resident_bytes: int | None = None
    vram_bytes: int | None = None
    context_length: int | None = None
    context_max: int | None = None
    slots: int = 1
    digest: str = ""
    modified_at: str = ""
    expires_at: str = ""
    format: str = ""
    family: str = ""
    parameters: str = ""
    quantization: str = ""
    capabilities: tuple[str, ...] = ()


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """One engine of a node. While it is down, ``models`` is its last inventory and ``stale`` is true.

    Engines of one node that name the same ``lane`` share ``lane_slots`` over all their models (""; each for itself).
    ``progress`` is how much is done of what it works on now, 0 to 1 (None: nothing, or it does not tell).
    ``quarantined``: it crashed again and again and is started rarely.
    """

    name: str
    kind: str
    version: str = ""
    healthy: bool = True
    stale: bool = False
    error: str = ""
    operations: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    port: Port = 0
    reach: Reach = "door"
    lane: str = ""
    lane_slots: int = 1
    progress: float | None = None
    quarantined: bool = False
    models: tuple[ModelReport, ...] = ()


CapacityMode = Literal["full", "learned_high", "learned_medium", "learned_low", "bootstrap", "paused"]
Workload = Literal["idle", "light", "moderate", "heavy", "intensive"]
Meetings = Literal["none", "active", "unavailable"]


class DirectClient(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who uses an engine past the router: an address, and how many connections it holds now."""

    peer: str
    connections: int = 1


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to one engine: through the node's door since the node started, and past the router right now.

    It stands beside the reports of engines, because it changes with every request and they do not.
    """

    engine: str
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    direct_clients: tuple[DirectClient, ...] = ()


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of the machine leaves to the fleet. ``availability`` is 0 to 1.

    ``override``: not learned, but said or seen; ``until`` is when what was said ends (epoch seconds; None: not by
    itself). ``confidence`` (0 to 1) says how well the week is known. ``workload`` and ``trend`` (-1 to 1, rising is
    positive) are the owner's own use, the fleet's taken off. ``week`` has 168 characters from Monday midnight on,
    tenths of availability by the node's local time, a dash where nothing was seen.
    """

    mode: CapacityMode = "full"
    availability: float = 1.0
    ceiling_bytes: int = 0
    reason: str = ""
    days_observed: int = 0
    override: bool = False
    until: float | None = None
    confidence: float = 0.0
    workload: Workload = "idle"
    trend: float = 0.0
    meeting: Meetings = "unavailable"
    week: str = ""


class LinkFailures(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong between node and router since the last heartbeat that arrived."""

    count: int = 0
    last: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A node's periodic report of itself.

    ``door_secret`` is what the router must show at the node's door; ``advertise_host`` is believed only if it is the
    heartbeat's own peer address or one that the router's operator allowed.
    """

    node_id: str
    wire: int = WIRE_VERSION
    version: str = ""
    sent_at: float = 0.0
    door_port: Port = 0
    door_secret: Secret = ""
    advertise_host: str = ""
    draining: bool = False
    goodbye: bool = False
    machine: Machine = Machine()
    engines: tuple[EngineReport, ...] = ()
    traffic: tuple[Traffic, ...] = ()
    capacity: Capacity | None = None
    failures: LinkFailures = LinkFailures()


class HeartbeatAck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The router's answer. ``token`` is sent once, at admission; ``status`` "waiting" means: not admitted yet.

    ``running`` is how many requests of the fleet run on the node now: that is no activity of its owner.
    """

    status: Literal["ok", "waiting", "draining"]
    node_status: str = "online"
    interval_s: float = 5.0
    fleet_id: str = ""
    token: str = ""
    hint: str = ""
    running: int = 0


@lru_cache(4096)
def model_key(name: str) -> str:
    """The one comparison of model names: ``llama3`` equals ``llama3:latest``, letter case does not count."""
    name = name.strip().lower()
    tail = name.rsplit("/", 1)[-1]
    return name if ":" in tail else name + ":latest"
