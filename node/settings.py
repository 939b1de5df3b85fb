"""What the owner of a machine may choose for its node: names, defaults, meanings. Knows no file and no command line.

Each field is a flag of ``herd node``, an environment variable ``FLEET_NODE_<NAME>`` and a ``[node]`` key of the TOML
file. The docstring under a field is its help text.
"""

import math
import re
import socket
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ROUTER_PORT = 11435
RANGES: dict[str, tuple[float, float]] = {
    "slots": (1, 4096),
    "image_slots": (1, 64),
    "image_timeout": (1, 86400),
    "heartbeat_interval": (0.1, 3600),
    "poll_interval": (0.1, 3600),
    "door_port": (0, 65535),
    "drain_timeout": (0, 86400),
}
"""Least and most, both allowed."""


class Unusable(Exception):
    """A setting that cannot be; the text is one sentence for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSettings:
    """Which engines this node has, where its router is, and where it keeps its state."""

    node_id: str = ""
    """Name of this node; empty: the machine's host name up to the first dot."""
    router_url: str = ""
    """URL of the router; empty: found by mDNS. A node follows the router it is told, also to another fleet."""
    ollama_host: str = "http://localhost:11434"
    """URL of this machine's Ollama."""
    engine: tuple[str, ...] = ()
    """A further engine as NAME=URL, or KIND:NAME=URL where asking cannot tell what it is for; may be repeated. In the
    environment: separated by commas or spaces."""
    models_dir: Path | None = None
    """Folder of models that the node serves itself, GGUF files and speech models; unset: `models` in the data
    folder."""
    slots: int | None = None
    """Requests that each engine of this machine serves at once; unset: what the engine says of itself."""
    image_slots: int = 1
    """Images that this machine makes at once with mflux and DiffusionKit together."""
    image_timeout: float = 600.0
    """Seconds that one image may take there; the time in which a tool fetches a model's weights does not count."""
    data_dir: Path = Path("~/.fleet-manager")
    """Folder for state, logs and models."""
    heartbeat_interval: float | None = None
    """Seconds between two heartbeats; unset: what the router wishes (5 unless told otherwise there)."""
    poll_interval: float = 5.0
    """Seconds between two looks at the engines."""
    door_port: int = 11436
    """Port of the node's door; when it is taken, the next free one."""
    door_host: str = "0.0.0.0"
    """Address on which the door listens."""
    advertise_host: str = ""
    """Address under which the router should reach this node; the router's operator must have allowed it there."""
    mdns: bool = True
    """Look for the router by mDNS."""
    mdns_service_type: str = "_fleet-manager._tcp.local."
    """mDNS service type of the router."""
    enable_capacity_learning: bool = False
    """Learn when this machine's owner needs it and lend the rest to the fleet; also spelt `--learn-capacity`."""
    detect_meetings: bool = True
    """While it learns: take nothing new as long as camera or microphone are in use."""
    drain_timeout: float = 60.0
    """Seconds that running requests may take to finish when the node is told to stop."""
    log_level: LogLevel = "DEBUG"
    """Least level written to the JSONL log."""
    console_log_level: LogLevel = "INFO"
    """Least level shown in the terminal."""

    @property
    def models(self) -> Path:
        return self.models_dir or self.data_dir / "models"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "logs" / f"herd-node-{self.node_id}.jsonl"

    @property
    def state_file(self) -> Path:
        return self.data_dir / "nodes" / f"{self.node_id}.json"

    @property
    def week_file(self) -> Path:
        return self.data_dir / f"capacity-learner-{self.node_id}.json"

    @property
    def lock_file(self) -> Path:
        return self.state_file.with_suffix(".lock")


def completed(settings: NodeSettings) -> NodeSettings:
    """The settings with name and paths filled in and the router's URL in full. Raises ``Unusable``."""
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            raise Unusable(f"invalid value {value:g} for --{name.replace('_', '-')}: it must be {least:g} to {most:g}.")
    node_id = settings.node_id.strip() or name_of(socket.gethostname())
    if not NAME.fullmatch(node_id):
        raise Unusable(
            f"invalid --node-id {node_id!r}: 1 to 63 letters, digits, dots, dashes or underscores, "
            "a letter or digit first."
        )
    if not settings.mdns_service_type.endswith((".local.", ".local")):
        raise Unusable("--mdns-service-type must end with .local. as in _fleet-manager._tcp.local.")
    return replace(
        settings,
        node_id=node_id,
        router_url=router_base(settings.router_url) if settings.router_url.strip() else "",
        data_dir=settings.data_dir.expanduser(),
        models_dir=settings.models_dir.expanduser() if settings.models_dir else None,
        mdns_service_type=settings.mdns_service_type.rstrip(".") + ".",
    )


def name_of(host_name: str) -> str:
    """A node's name out of a host name: its first label, without what no name may hold; ``node`` if nothing is left."""
    label = re.sub(r"[^A-Za-z0-9_-]+", "-", host_name.partition(".")[0]).strip("-_")
    return label[:63] or "node"


def router_base(told: str) -> str:
    """``192.168.1.10``, ``mac:11435`` or a URL as ``http://192.168.1.10:11435``. Raises ``Unusable``."""
    text = told.strip().rstrip("/")
    bare = "://" not in text
    if bare and text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"  # an IPv6 address as people write it
    try:
        url = urlsplit("http://" + text if bare else text)
        port = url.port
    except ValueError:
        raise Unusable(f"--router-url {told!r} is no URL, as in http://192.168.1.10:{ROUTER_PORT}.") from None
    host = url.hostname or ""
    if url.scheme not in ("http", "https") or not host or "@" in url.netloc or url.query or url.fragment:
        raise Unusable(f"--router-url {told!r} is no URL of a router, as in http://192.168.1.10:{ROUTER_PORT}.")
    port = port or (ROUTER_PORT if bare else None)
    return f"{url.scheme}://{bracketed(host)}" + (f":{port}" if port else "") + url.path.rstrip("/")


def bracketed(host: str) -> str:
    """The host as a URL wants it: an IPv6 address in brackets."""
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
