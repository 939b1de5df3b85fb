"""What a person types on each operating system. Pure; knows no check and no node."""

import shlex
from urllib.parse import urlencode


def system(os: str) -> str:
    """``macos``, ``windows`` or ``linux``; whatever else there is, is treated like Linux."""
    word = os.lower()
    return "macos" if word in ("macos", "darwin") else "windows" if word.startswith("win") else "linux"


def ollama_with(os: str, **variables: str) -> str:
    """Ollama with these variables of its environment: each system has its own place for them."""
    return {
        "macos": "\n".join(
            [
                *(f"launchctl setenv {name} {value}" for name, value in variables.items()),
                "# then quit Ollama and open it",
            ]
        ),
        "windows": "\n".join(
            [
                *(f"setx {name} {value}" for name, value in variables.items()),
                "# then quit Ollama in the tray and start it",
            ]
        ),
        "linux": "\n".join(
            [
                "sudo systemctl edit ollama",
                "  [Service]",
                *(f'  Environment="{name}={value}"' for name, value in variables.items()),
                "sudo systemctl restart ollama",
            ]
        ),
    }[system(os)]


def ollama_restart(os: str) -> str:
    return {
        "macos": "osascript -e 'quit app \"Ollama\"' && open -a Ollama",
        "windows": "# quit Ollama in the tray and start it from the Start menu",
        "linux": "sudo systemctl restart ollama",
    }[system(os)]


def node_start(os: str) -> str:
    """The agent, run by hand or by what supervises it."""
    return {
        "macos": "herd node status  # there\nherd node",
        "windows": "herd node status  # there\nherd node",
        "linux": "herd node status  # there\nsystemctl --user restart herd-node  # or: herd node",
    }[system(os)]


def memory_users(os: str) -> str:
    """What takes the memory, and how Ollama gives some back."""
    return {
        "macos": "top -o mem\nollama stop MODEL  # what `ollama ps` shows and nobody needs",
        "windows": "Get-Process | Sort-Object WS -Descending | Select-Object -First 10\nollama stop MODEL",
        "linux": "ps aux --sort=-rss | head\nollama stop MODEL  # what `ollama ps` shows and nobody needs",
    }[system(os)]


def engine_log(os: str) -> str:
    """Where Ollama says why something failed."""
    return {
        "macos": "tail -100 ~/.ollama/logs/server.log",
        "windows": 'Get-Content "$env:LOCALAPPDATA\\Ollama\\server.log" -Tail 100',
        "linux": "journalctl -u ollama --no-pager -n 100",
    }[system(os)]


def clock_set(os: str) -> str:
    return {
        "macos": "sudo sntp -sS time.apple.com",
        "windows": "w32tm /resync",
        "linux": "timedatectl set-ntp true",
    }[system(os)]


def disk_users(os: str) -> str:
    return {
        "macos": "du -sh ~/.ollama/models\nollama list\nollama rm MODEL",
        "windows": "ollama list\nollama rm MODEL",
        "linux": "df -h\nollama list\nollama rm MODEL",
    }[system(os)]


def pull(*models: str) -> str:
    """Through the router, which finds the node with room for it."""
    return "\n".join(f"OLLAMA_HOST=http://ROUTER:11435 ollama pull {shlex.quote(model)}" for model in models)


def reload(model: str) -> str:
    """Out of memory, so that the next request loads it anew."""
    return f"ollama stop {shlex.quote(model)}"


def requests(**words: str) -> str:
    """The query that finds such requests of the last 24 hours."""
    return urlencode({"range": "24h", **words})
