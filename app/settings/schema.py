"""The core sections of settings as frozen dataclasses: names, defaults, meanings. Knows no file and no modality.

Each field is a flag of ``herd run``, an environment variable ``FLEET_<NAME>`` and a ``[router]`` key of the TOML file.
The docstring under a field is its help text and its line in ``docs/settings.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Join = Literal["window", "approve", "open"]
AutoPull = Literal["catalogue", "any", "off", "true", "false"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where the router listens, keeps its state, and whom it lets in."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: int = 11435
    """Port to listen on."""
    data_dir: Path = Path("~/.fleet-manager")
    """Folder for the database, logs and the admin token."""
    mdns: bool = True
    """Tell the LAN by mDNS where the router is."""
    mdns_service_type: str = "_fleet-manager._tcp.local."
    """mDNS service type."""
    mdns_service_name: str = "Fleet Manager Router"
    """mDNS instance name."""
    mdns_interfaces: str = ""
    """Comma-separated addresses to advertise on; empty: every usable one."""
    join: Join = "window"
    """Who may join from the LAN: `window` (ten minutes from the first start, then by approval), `approve` or `open`."""
    engine_hosts: str = ""
    """Comma-separated hosts a node may name as its engine's address besides its own."""
    hosts: str = ""
    """Comma-separated further names by which the router may be called (Host header)."""
    origins: str = ""
    """Comma-separated web origins that may call the inference API from a browser."""
    body_max_bytes: int = 64 * 1024 * 1024
    """Largest request body of an inference request."""
    log_level: LogLevel = "DEBUG"
    """Least level written to the JSONL log."""
    console_log_level: LogLevel = "INFO"
    """Least level shown in the terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """When a silent node counts as degraded and as offline."""

    heartbeat_interval: float = 5.0
    """Seconds between two heartbeats of a node (told to the node) and between two checks."""
    heartbeat_timeout: float = 15.0
    """Seconds of silence after which a node is degraded (still served)."""
    heartbeat_offline: float = 30.0
    """Seconds of silence after which a node is offline (not served)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """How long a request may wait, and how often it is tried."""

    hold_timeout: float = 30.0
    """Seconds a request that no node can take is held before 503."""
    queue_timeout: float = 600.0
    """Seconds a request may wait for a busy slot before 503."""
    queue_limit: int = 1000
    """Requests that may wait at once; one more gets 503."""
    max_retries: int = 2
    """Further nodes tried before the first record; 0 disables."""
    connect_timeout: float = 3.0
    """Seconds to connect to an engine."""
    first_byte_timeout: float = 20.0
    """Seconds a loaded model may be silent before its first record (more for long prompts and slow histories)."""
    load_timeout: float = 300.0
    """Seconds a model that must be loaded first may be silent."""
    stale_timeout: float = 600.0
    """Seconds without progress after which a running request is ended."""
    rebalance_interval: float = 5.0
    """Seconds between two periodic looks at the waiting requests (changes wake them at once)."""
    pre_warm_threshold: int = 3
    """Requests in a line, running and waiting, from which on another node loads the model too; 0 disables."""
    pre_warm_min_availability: float = 0.6
    """Share of its machine that a node's owner must leave for that."""
    pre_warm_timeout: float = 120.0
    """Seconds such a load may take."""
    reap_interval: float = 1.0
    """Seconds between two looks for requests without progress."""
    drain_timeout: float = 30.0
    """Seconds a stopping router lets running requests finish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Who may change the models of the fleet, and when a model that nobody has is pulled."""

    open_models: bool = False
    """Let everybody pull, push, create, copy and delete models; otherwise these need the admin token."""
    auto_pull: AutoPull = "catalogue"
    """Pull a model that a request names and no node has: `catalogue` (known models; `true` is the same), `any` or `off`
    (`false` is the same)."""
    auto_pull_timeout: float = 300.0
    """Seconds a request waits for such a pull before 503; the pull goes on."""
    auto_pull_max_gb: float = 50.0
    """Largest model that is pulled for a request, in GB (1024^3 bytes)."""
    disk_reserve_gb: float = 10.0
    """Disk space that a pull leaves free on its node, in GB (1024^3 bytes)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What the seven signals of the language policy are worth, in points."""

    score_model_hot: float = 50.0
    """Thermal: the model is in memory."""
    score_model_warm: float = 30.0
    """Thermal: it was unloaded a short while ago."""
    score_model_cold: float = 10.0
    """Thermal: it is on disk only."""
    score_memory_fit_max: float = 20.0
    """Memory fit: room to spare."""
    score_queue_depth_max_penalty: float = 30.0
    """Queue depth: the most it may cost."""
    score_queue_depth_penalty_per: float = 6.0
    """Queue depth: what each request ahead costs."""
    score_wait_time_max_penalty: float = 25.0
    """Latency: the most it may cost."""
    score_role_affinity_max: float = 15.0
    """Role affinity: large models to large machines, small ones to small."""
    score_role_large_threshold_gb: float = 20.0
    """Role affinity: a model is large above this."""
    score_role_small_threshold_gb: float = 8.0
    """Role affinity: a model is small below this."""
    score_availability_trend_max: float = 10.0
    """Availability: what the owner's absence is worth."""
    score_context_fit_max: float = 15.0
    """Context fit: the prompt fits the loaded context well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How long the past is kept."""

    trace_days: int = 30
    """Days a trace is kept."""
    log_days: int = 30
    """Days a log file is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All sections, as they are in force. ``modalities`` holds those that modalities bring, by the modality's name."""

    server: Server = field(default_factory=Server)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    queue: Queue = field(default_factory=Queue)
    models: Models = field(default_factory=Models)
    score: Score = field(default_factory=Score)
    history: History = field(default_factory=History)
    modalities: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.server.data_dir.expanduser()
