"""What real systems tell of themselves, recorded: trees of files of Linux, answers of macOS's programs. Knows no probe.

A tree is path -> content; ``laid_out`` writes it below a folder that then stands for the root.
"""

from collections.abc import Mapping
from pathlib import Path

GIB = 1024**3


def laid_out(root: Path, *trees: Mapping[str, str]) -> Path:
    for path, content in {path: content for tree in trees for path, content in tree.items()}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    return root


def meminfo(total_kb: int, available_kb: int, swap_kb: int = 0, swap_free_kb: int = 0) -> dict[str, str]:
    return {
        "proc/meminfo": f"""MemTotal:       {total_kb} kB
MemFree:         1203944 kB
MemAvailable:   {available_kb} kB
Buffers:          412332 kB
Cached:         18832700 kB
SwapCached:        55104 kB
SwapTotal:      {swap_kb} kB
SwapFree:       {swap_free_kb} kB
HugePages_Total:       0
Hugepagesize:       2048 kB"""
    }


DESKTOP = meminfo(65_780_744, 42_105_992, 8_388_604, 7_340_028)
"""64 GB, 36 % in use, a gigabyte of it swapped out."""

CALM = {
    "proc/pressure/memory": """some avg10=0.12 avg60=0.05 avg300=0.01 total=8812345
full avg10=0.00 avg60=0.02 avg300=0.00 total=6120034"""
}
STALLING = {
    "proc/pressure/memory": """some avg10=18.40 avg60=9.71 avg300=2.53 total=118812345
full avg10=4.11 avg60=3.02 avg300=0.80 total=86120034"""
}
THRASHING = {
    "proc/pressure/memory": """some avg10=71.33 avg60=40.12 avg300=11.90 total=998812345
full avg10=44.02 avg60=21.67 avg300=6.44 total=706120034"""
}

DOCKER_V2 = {
    "proc/self/cgroup": "0::/",
    "sys/fs/cgroup/memory.max": str(8 * GIB),
    "sys/fs/cgroup/memory.current": str(7 * GIB),
    "sys/fs/cgroup/memory.stat": f"anon {2 * GIB}\nfile {5 * GIB}\ninactive_file {4 * GIB}\nactive_file {GIB}",
    "sys/fs/cgroup/memory.pressure": CALM["proc/pressure/memory"],
}
"""A container of 8 GiB: 7 are charged to it, 4 of them pages of a model's file that may go."""

SERVICE_V2 = {
    "proc/self/cgroup": "0::/system.slice/herd-node.service",
    "sys/fs/cgroup/system.slice/memory.max": "max",
    "sys/fs/cgroup/system.slice/memory.current": str(20 * GIB),
    "sys/fs/cgroup/system.slice/herd-node.service/memory.max": str(16 * GIB),
    "sys/fs/cgroup/system.slice/herd-node.service/memory.current": str(3 * GIB),
    "sys/fs/cgroup/system.slice/herd-node.service/memory.stat": "anon 12\ninactive_file 0",
}
"""A systemd unit with MemoryMax=16G."""

DOCKER_V1 = {
    "proc/self/cgroup": """12:cpu,cpuacct:/docker/8f0e
5:memory:/docker/8f0e
1:name=systemd:/docker/8f0e""",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": str(3 * GIB),
    "sys/fs/cgroup/memory/memory.stat": f"cache {2 * GIB}\ntotal_inactive_file {GIB}",
}
"""An older container, which sees its own group as the topmost."""

UNLIMITED_V1 = {
    "proc/self/cgroup": "4:memory:/user.slice\n0::/user.slice",
    "sys/fs/cgroup/memory/user.slice/memory.limit_in_bytes": "9223372036854771712",
    "sys/fs/cgroup/memory/user.slice/memory.usage_in_bytes": str(3 * GIB),
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": str(9 * GIB),
}

RYZEN_SENSORS = {
    "sys/class/hwmon/hwmon0/name": "nvme",
    "sys/class/hwmon/hwmon0/temp1_input": "91850",
    "sys/class/hwmon/hwmon1/name": "k10temp",
    "sys/class/hwmon/hwmon1/temp1_input": "61250",
    "sys/class/hwmon/hwmon1/temp1_label": "Tctl",
    "sys/class/hwmon/hwmon1/temp3_input": "54500",
}
"""The disk is hotter than the processor, and is nobody's business here."""

INTEL_HOT = {
    "sys/class/hwmon/hwmon3/name": "coretemp",
    "sys/class/hwmon/hwmon3/temp1_input": "97000",
    "sys/class/hwmon/hwmon3/temp2_input": "88000",
    "sys/class/hwmon/hwmon4/name": "acpitz",
    "sys/class/hwmon/hwmon4/temp1_input": "-274000",
}
RASPBERRY_ZONES = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "48686",
    "sys/class/thermal/thermal_zone1/type": "iwlwifi_1",
    "sys/class/thermal/thermal_zone1/temp": "99000",
}

LAPTOP_PLUGGED = {
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "1",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/status": "Charging",
    "sys/class/power_supply/BAT0/capacity": "64",
}
LAPTOP_UNPLUGGED = LAPTOP_PLUGGED | {
    "sys/class/power_supply/AC/online": "0",
    "sys/class/power_supply/BAT0/status": "Discharging",
    "sys/class/power_supply/BAT1/type": "Battery",
    "sys/class/power_supply/BAT1/status": "Unknown",
    "sys/class/power_supply/BAT1/capacity": "80",
}
"""A ThinkPad with two batteries."""
DESKTOP_WITH_A_MOUSE = {
    "sys/class/power_supply/hidpp_battery_0/type": "Battery",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device",
    "sys/class/power_supply/hidpp_battery_0/status": "Discharging",
    "sys/class/power_supply/hidpp_battery_0/capacity": "15",
}

RADEON = {
    "sys/class/drm/version": "drm 1.1.0 20060810",
    "sys/class/drm/card0/device/vendor": "0x8086",
    "sys/class/drm/card1/device/vendor": "0x1002",
    "sys/class/drm/card1/device/device": "0x744c",
    "sys/class/drm/card1/device/mem_info_vram_total": "25753026560",
    "sys/class/drm/card1/device/mem_info_vram_used": "3221225472",
    "sys/class/drm/card1/device/gpu_busy_percent": "37",
    "sys/class/drm/card1/device/hwmon/hwmon5/name": "amdgpu",
    "sys/class/drm/card1/device/hwmon/hwmon5/temp1_input": "58000",
    "sys/class/drm/card1-DP-1/status": "connected",
}
PCI_IDS = {
    "usr/share/hwdata/pci.ids": """# List of PCI ID's
0e11  Compaq Computer Corporation
\t744c  Something else of another maker
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t73bf  Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]
\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]
\t\t1002 0e3b  RX 7900 GRE [XFX]
1003  ULSI Systems"""
}

RYZEN_CPUINFO = {
    "proc/cpuinfo": """processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 97
model name\t: AMD Ryzen 9 7950X   16-Core Processor
processor\t: 1
model name\t: AMD Ryzen 9 7950X   16-Core Processor"""
}
RASPBERRY_CPUINFO = {
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
}

PMSET_APPLE = """Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
"""
PMSET_INTEL = """2026-06-02 10:14:51 +0200 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 100
"""
PMSET_SLOWED = PMSET_INTEL.replace("Speed_Limit \t= 100", "Speed_Limit \t= 62")
PMSET_WARNED = "Thermal Warning Level = 2\nNote: No performance warning level has been recorded\n"

IOREG = """+-o AGXAcceleratorG14X  <class AGXAcceleratorG14X, id 0x10000052d, registered, matched, active, busy 0>
    {
      "gpu-core-count" = 30
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=9713909760,\
"Tiler Utilization %"=11,"recoveryCount"=0,"Renderer Utilization %"=17,"Device Utilization %"=18}
      "model" = "Apple M2 Max"
    }
"""
