"""What a person reads when the router has started: where it is and what to do next. Pure; knows no socket."""

from pathlib import Path
from urllib.parse import quote

from app.settings.schema import Settings

EVERYWHERE = ("0.0.0.0", "::", "")


def banner(settings: Settings, *, addresses: list[str], admin_token: str, version: str, fleet_id: str) -> str:
    """``addresses`` are the machine's own on the LAN, best first; the first one stands in the links."""
    server = settings.server
    hosts = (addresses or ["127.0.0.1"]) if server.host in EVERYWHERE else [server.host]
    base = base_url(hosts[0], server.port)
    lines = [
        ("OpenAI base URL", f"{base}/v1"),
        ("Ollama host", base),
        ("Dashboard", f"{base}/dashboard"),
        ("Admin link", f"{base}/dashboard#admin={quote(admin_token, safe='')}"),
        ("Add a machine", "herd node" if server.mdns else f"herd node --router-url {base}"),
    ]
    if server.mdns:
        lines.append(("", f"(finds this router by itself; otherwise: herd node --router-url {base})"))
    if len(hosts) > 1:
        lines.append(("Also at", ", ".join(base_url(host, server.port) for host in hosts[1:])))
    lines += [
        ("Log", str(log_file(settings))),
        ("State", str(settings.data_dir)),
    ]
    width = max(len(name) for name, _ in lines) + 2
    shown = "\n".join(f"  {name:<{width}}{what}" for name, what in lines)
    return f"\nHerd {version}  fleet {fleet_id}\n\n{shown}\n\n  Ctrl+C stops it; running requests may finish.\n"


def base_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def log_file(settings: Settings) -> Path:
    return settings.data_dir / "logs" / "herd.jsonl"
