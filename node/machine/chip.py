"""What this machine is made of: system, architecture, processor. Knows nothing that changes. Blocks for a moment."""

import platform
import sys
from pathlib import Path
from typing import Any

import psutil

from node.machine.command import sysctl
from node.machine.files import word

ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}
"""What is the same thing under another name."""


def chip() -> dict[str, Any]:
    """Fields of ``Machine``."""
    name, arch = processor(), platform.machine().lower()
    if name.startswith("Apple M"):
        arch = "arm64"  # also where this Python itself is translated from Intel's
    return {
        "os": {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform),
        "arch": ARCHITECTURES.get(arch, arch) or "unknown",
        "chip": name,
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
    }


def processor() -> str:
    """The processor's name for people; empty when the system does not say."""
    if sys.platform == "linux":
        return of_linux()
    if sys.platform == "darwin":
        return sysctl("machdep.cpu.brand_string") or sysctl("hw.model")
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return platform.processor()


def of_linux(root: Path = Path("/")) -> str:
    """``model name`` of the first processor; on ARM, whose processors have no name there, that of the whole board."""
    for line in word(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return word(root / "proc/device-tree/model").rstrip("\0")
