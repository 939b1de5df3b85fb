"""Graphics processors: NVIDIA's by its own library, AMD's by Linux's files, Apple's by its registry. Knows no engine.

Blocks, and for long where a driver hangs: call it in a thread.
"""

import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from node.machine import chip
from node.machine.command import told_by
from node.machine.files import number, word
from node.wire import Gpu

AMD = "0x1002"
NAMES = ("usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids")
_BUSY = re.compile(r'"Device Utilization %"\s*=\s*(\d+)')


class Nvidia:
    """NVIDIA's cards. Its library is opened once: opening it wakes the cards."""

    def __init__(self, library: Any = None) -> None:
        self._library = library
        self._open = False

    def cards(self) -> tuple[Gpu, ...]:
        """All of them; none where there is no driver, or no library that speaks with it."""
        if self._library is None:
            try:
                import pynvml
            except ImportError:
                return ()
            self._library = pynvml
        nvml = self._library
        try:
            if not self._open:
                nvml.nvmlInit()
                self._open = True
            return tuple(self._card(nvml.nvmlDeviceGetHandleByIndex(at)) for at in range(nvml.nvmlDeviceGetCount()))
        except nvml.NVMLError:
            self._open = False  # no driver, or one that was replaced under us: opened anew the next time
            return ()

    def _card(self, handle: Any) -> Gpu:
        nvml = self._library
        name = nvml.nvmlDeviceGetName(handle)
        memory = self._said(nvml.nvmlDeviceGetMemoryInfo, handle)
        use = self._said(nvml.nvmlDeviceGetUtilizationRates, handle)
        return Gpu(
            name=name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name),
            memory_total_bytes=memory.total if memory else 0,
            memory_free_bytes=memory.free if memory else 0,
            unified=memory is None,
            busy_percent=float(use.gpu) if use else None,
            temperature_c=self._said(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        )

    def _said(self, ask: Any, *about: Any) -> Any:
        """What the card says; None to what its kind does not tell."""
        try:
            return ask(*about)
        except self._library.NVMLError_NotSupported:
            return None


def amd_cards(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """AMD's cards as the kernel's driver shows them below ``root``."""
    cards = sorted((root / "sys/class/drm").glob("card*"))
    devices = [card / "device" for card in cards if re.fullmatch(r"card\d+", card.name)]
    return tuple(_amd_card(device, root) for device in devices if word(device / "vendor") == AMD)


def of_ioreg(text: str) -> float | None:
    """Apple: how busy the GPU is, of ``ioreg -r -d 1 -c IOAccelerator``; None when it is not told."""
    found = _BUSY.search(text)
    return float(found[1]) if found else None


def gpus(nvidia: Nvidia) -> dict[str, Any]:
    """Fields of ``Machine``."""
    if sys.platform == "darwin":
        name = chip.processor()
        busy = of_ioreg(told_by("/usr/sbin/ioreg", "-r", "-d", "1", "-c", "IOAccelerator"))
        return {"gpus": (Gpu(name=name, unified=True, busy_percent=busy),) if name.startswith("Apple M") else ()}
    return {"gpus": nvidia.cards() + (amd_cards() if sys.platform == "linux" else ())}


def _amd_card(device: Path, root: Path) -> Gpu:
    total, used = number(device / "mem_info_vram_total") or 0, number(device / "mem_info_vram_used") or 0
    busy = number(device / "gpu_busy_percent")
    heats = [heat for file in sorted(device.glob("hwmon/hwmon*/temp1_input")) if (heat := number(file)) is not None]
    return Gpu(
        name=word(device / "product_name") or _amd_name(word(device / "device"), root),
        memory_total_bytes=total,
        memory_free_bytes=max(0, total - used),
        busy_percent=None if busy is None else float(busy),
        temperature_c=heats[0] / 1000 if heats else None,
    )


@lru_cache(16)
def _amd_name(number_: str, root: Path) -> str:
    """What the system's list of devices calls the device of this number: the product, where it tells one."""
    for names in NAMES:
        for line in word(root / names).partition("\n1002 ")[2].splitlines()[1:]:
            if not line.startswith(("\t", "#")):
                break
            if line.startswith(f"\t{number_.removeprefix('0x')} "):
                name = line.strip().partition("  ")[2]
                return "AMD " + (name.partition("[")[2].rstrip("]") or name)
    return f"AMD GPU {number_}".strip()
