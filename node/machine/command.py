"""One short question to a program of the operating system. Knows no answer. Blocks: call it in a thread."""

import subprocess

ASK_S = 1.0


def told_by(*command: str) -> str:
    """What the program printed; empty when it is not there, fails, or takes longer than a second."""
    try:
        asked = subprocess.run(  # noqa: S603 - fixed programs with fixed words
            command, capture_output=True, text=True, errors="replace", timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout if asked.returncode == 0 else ""


def sysctl(name: str) -> str:
    """macOS: one value of its kernel; empty when it has none of that name."""
    return told_by("/usr/sbin/sysctl", "-n", name).strip()
