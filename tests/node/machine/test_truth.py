"""What each system's recorded words become, and that this very machine is read without a fault."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import recorded_machines as recorded
from recorded_machines import GIB, laid_out

from node.machine import chip, heat, memory, power
from node.machine.cgroup import room
from node.machine.command import sysctl, told_by
from node.machine.cpu import percent
from node.machine.disk import disk, model_folders
from node.machine.gpu import Nvidia, amd_cards, of_ioreg
from node.machine.observe import Observer
from node.machine.pressure import by_use, of_level, of_stalls, worst
from node.wire import Gpu, Machine


@pytest.mark.parametrize(
    ("used", "word"), [(0, "normal"), (84.9, "normal"), (85, "warn"), (94.9, "warn"), (95, "critical")]
)
def test_pressure_by_use_has_the_documented_thresholds(used: float, word: str) -> None:
    assert by_use(1000, round(1000 - used * 10)) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [("1\n", "normal"), ("2\n", "warn"), ("4\n", "critical"), ("", "unavailable"), ("x", "unavailable")],
)
def test_the_level_of_macos_is_read(text: str, word: str) -> None:
    assert of_level(text) == word


@pytest.mark.parametrize(
    ("tree", "word"),
    [(recorded.CALM, "normal"), (recorded.STALLING, "warn"), (recorded.THRASHING, "critical"), ({}, "unavailable")],
)
def test_programs_that_stand_still_for_memory_are_pressure(tree: Mapping[str, str], word: str) -> None:
    assert of_stalls(tree.get("proc/pressure/memory", "")) == word


def test_of_several_levels_the_worst_counts_and_one_that_is_not_told_does_not() -> None:
    assert worst("normal", "critical", "warn") == "critical"
    assert worst("unavailable", "normal") == "normal"
    assert worst("unavailable") == "unavailable"


def test_linux_tells_memory_and_swap(tmp_path: Path) -> None:
    facts = memory.of_linux(laid_out(tmp_path, recorded.DESKTOP, recorded.CALM))
    assert facts == {
        "memory_total_bytes": 65_780_744 * 1024,
        "memory_available_bytes": 42_105_992 * 1024,
        "pressure": "normal",
        "swap_total_bytes": 8_388_604 * 1024,
        "swap_used_bytes": 1_048_576 * 1024,
    }


def test_a_machine_with_room_that_thrashes_is_under_pressure_nevertheless(tmp_path: Path) -> None:
    assert memory.of_linux(laid_out(tmp_path, recorded.DESKTOP, recorded.THRASHING))["pressure"] == "critical"


def test_a_kernel_that_counts_no_stalls_is_judged_by_use(tmp_path: Path) -> None:
    assert memory.of_linux(laid_out(tmp_path, recorded.meminfo(1000, 40)))["pressure"] == "critical"


def test_without_meminfo_the_fault_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="meminfo"):
        memory.of_linux(tmp_path)


@pytest.mark.parametrize(
    ("tree", "limit", "free"),
    [
        pytest.param(recorded.DOCKER_V2, 8, 5, id="what only caches a file may go"),
        pytest.param(recorded.SERVICE_V2, 16, 13, id="a unit's own limit"),
        pytest.param(recorded.DOCKER_V1, 4, 2, id="version 1"),
    ],
)
def test_a_container_has_its_limit_as_memory(tmp_path: Path, tree: Mapping[str, str], limit: int, free: int) -> None:
    facts = memory.of_linux(laid_out(tmp_path, recorded.DESKTOP, recorded.CALM, tree))
    assert facts["memory_total_bytes"] == limit * GIB
    assert facts["memory_available_bytes"] == free * GIB
    assert facts["pressure"] == "normal"


def test_a_full_container_on_an_empty_machine_is_under_pressure(tmp_path: Path) -> None:
    full = recorded.DOCKER_V2 | {"sys/fs/cgroup/memory.stat": "inactive_file 0"}
    full["sys/fs/cgroup/memory.current"] = str(8 * GIB - 1)
    assert memory.of_linux(laid_out(tmp_path, recorded.DESKTOP, full))["pressure"] == "critical"


def test_stalls_inside_a_container_count_though_the_machine_is_calm(tmp_path: Path) -> None:
    stalls = {"sys/fs/cgroup/memory.pressure": recorded.STALLING["proc/pressure/memory"]}
    tree = laid_out(tmp_path, recorded.DESKTOP, recorded.CALM, recorded.DOCKER_V2, stalls)
    assert memory.of_linux(tree)["pressure"] == "warn"


@pytest.mark.parametrize("tree", [recorded.UNLIMITED_V1, {}, {"proc/self/cgroup": "nonsense\n0::"}])
def test_no_limit_is_none(tmp_path: Path, tree: Mapping[str, str]) -> None:
    assert room(laid_out(tmp_path, tree)) is None


def test_a_limit_above_the_machines_memory_is_none(tmp_path: Path) -> None:
    wide = recorded.DOCKER_V2 | {"sys/fs/cgroup/memory.max": str(500 * GIB)}
    facts = memory.of_linux(laid_out(tmp_path, recorded.DESKTOP, wide))
    assert facts["memory_total_bytes"] == 65_780_744 * 1024


@pytest.mark.parametrize(
    ("tree", "thermal", "degrees"),
    [
        pytest.param(recorded.RYZEN_SENSORS, "nominal", 61.25, id="a hot disk is no hot processor"),
        pytest.param(recorded.INTEL_HOT, "warning", 97.0, id="a sensor without a wire is passed over"),
        pytest.param(recorded.RASPBERRY_ZONES, "nominal", 48.686, id="zones where no sensor is known"),
        pytest.param({}, "unknown", None, id="nothing"),
    ],
)
def test_linux_tells_how_warm_it_is(
    tmp_path: Path, tree: Mapping[str, str], thermal: str, degrees: float | None
) -> None:
    assert heat.of_linux(laid_out(tmp_path, tree)) == {"thermal": thermal, "temperature_c": degrees}


@pytest.mark.parametrize(
    ("text", "thermal"),
    [
        (recorded.PMSET_APPLE, "nominal"),
        (recorded.PMSET_INTEL, "nominal"),
        (recorded.PMSET_SLOWED, "warning"),
        (recorded.PMSET_WARNED, "warning"),
        ("", "unknown"),
    ],
)
def test_macos_tells_whether_heat_slows_it_down(text: str, thermal: str) -> None:
    assert heat.of_pmset(text) == thermal


@pytest.mark.parametrize(
    ("tree", "source", "percent"),
    [
        pytest.param(recorded.LAPTOP_PLUGGED, "mains", 64, id="plugged in"),
        pytest.param(recorded.LAPTOP_UNPLUGGED, "battery", 72, id="two batteries"),
        pytest.param(recorded.DESKTOP_WITH_A_MOUSE, "mains", None, id="a mouse's battery feeds no machine"),
        pytest.param({}, "unavailable", None, id="not told"),
    ],
)
def test_linux_tells_what_feeds_it(tmp_path: Path, tree: Mapping[str, str], source: str, percent: float | None) -> None:
    assert power.of_linux(laid_out(tmp_path, tree)) == {"power": source, "battery_percent": percent}


def test_a_machine_without_any_supply_is_on_mains(tmp_path: Path) -> None:
    (tmp_path / "sys/class/power_supply").mkdir(parents=True)
    assert power.of_linux(tmp_path)["power"] == "mains"


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        (recorded.RYZEN_CPUINFO, "AMD Ryzen 9 7950X 16-Core Processor"),
        (recorded.RASPBERRY_CPUINFO, "Raspberry Pi 5 Model B Rev 1.0"),
        ({}, ""),
    ],
)
def test_linux_names_its_processor_or_its_board(tmp_path: Path, tree: Mapping[str, str], name: str) -> None:
    assert chip.of_linux(laid_out(tmp_path, tree)) == name


def test_a_radeon_tells_memory_use_and_heat(tmp_path: Path) -> None:
    card = Gpu(
        name="AMD Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M",
        memory_total_bytes=25753026560,
        memory_free_bytes=25753026560 - 3221225472,
        busy_percent=37.0,
        temperature_c=58.0,
    )
    assert amd_cards(laid_out(tmp_path, recorded.RADEON, recorded.PCI_IDS)) == (card,)


def test_a_radeon_that_no_list_knows_goes_by_its_number(tmp_path: Path) -> None:
    assert [card.name for card in amd_cards(laid_out(tmp_path, recorded.RADEON))] == ["AMD GPU 0x744c"]


def test_apples_registry_tells_how_busy_the_gpu_is() -> None:
    assert of_ioreg(recorded.IOREG) == 18.0
    assert of_ioreg("") is None


class RecordedNvml:
    """A driver with an RTX 4090 and a board whose memory is the machine's; ``lost``: it was replaced meanwhile."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801 - its name there
        pass

    def __init__(self) -> None:
        self.opened = 0
        self.lost = False

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if self.lost:
            raise self.NVMLError
        return 2

    def nvmlDeviceGetHandleByIndex(self, at: int) -> int:  # noqa: N802
        return at

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return ["NVIDIA GeForce RTX 4090", b"NVIDIA GB10"][handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        if handle:
            raise self.NVMLError_NotSupported
        return SimpleNamespace(total=24 * GIB, free=21 * GIB, used=3 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=42, memory=8)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return 55


def test_nvidias_cards_tell_memory_use_and_heat_and_their_library_is_opened_once() -> None:
    driver = RecordedNvml()
    nvidia = Nvidia(driver)
    ada, spark = nvidia.cards()
    assert ada == Gpu(
        name="NVIDIA GeForce RTX 4090",
        memory_total_bytes=24 * GIB,
        memory_free_bytes=21 * GIB,
        busy_percent=42.0,
        temperature_c=55,
    )
    assert (spark.name, spark.unified, spark.memory_total_bytes) == ("NVIDIA GB10", True, 0)
    assert len(nvidia.cards()) == 2
    assert driver.opened == 1


def test_a_driver_that_was_replaced_is_opened_anew() -> None:
    driver = RecordedNvml()
    nvidia = Nvidia(driver)
    nvidia.cards()
    driver.lost = True
    assert nvidia.cards() == ()
    driver.lost = False
    assert len(nvidia.cards()) == 2
    assert driver.opened == 2


def test_processors_are_busy_by_what_changed_since_the_look_before() -> None:
    before = {"user": 100.0, "system": 50.0, "idle": 1000.0, "iowait": 10.0, "guest": 40.0}
    after = {"user": 105.0, "system": 51.0, "idle": 1012.0, "iowait": 12.0, "guest": 45.0}
    assert percent(before, after) == 30.0
    assert percent(after, after) == 0.0


def test_the_disk_is_the_one_where_models_lie(tmp_path: Path) -> None:
    own, ollamas = tmp_path / "own", tmp_path / "home" / ".ollama" / "models"
    folders = model_folders(own, home=tmp_path / "home", environment={})
    assert folders[0] == ollamas
    assert folders[-1] == own
    assert model_folders(own, environment={"OLLAMA_MODELS": "/data/models"})[0] == Path("/data/models")
    for_nobody = disk(folders)
    ollamas.mkdir(parents=True)
    assert disk(folders).keys() == for_nobody.keys() == {"disk_free_bytes", "disk_total_bytes"}
    assert 0 < disk(folders)["disk_free_bytes"] <= disk(folders)["disk_total_bytes"]


def test_a_program_that_is_not_there_or_fails_or_hangs_tells_nothing() -> None:
    assert told_by("/no/such/program") == ""
    assert told_by(sys.executable, "-c", "print('x'); raise SystemExit(1)") == ""
    assert told_by(sys.executable, "-c", "import time; time.sleep(30)") == ""
    assert told_by(sys.executable, "-c", "print('x')") == "x\n"
    if sys.platform != "darwin":
        assert sysctl("hw.model") == ""


async def test_this_machine_is_observed(tmp_path: Path) -> None:
    facts = await Observer(tmp_path / "models" / "not-there").observe()
    assert facts.memory_total_bytes > facts.memory_available_bytes > 0
    assert facts.cores >= 1
    assert facts.os != "unknown"
    assert facts.arch != "unknown"
    assert facts.disk_free_bytes is not None
    assert 0 <= facts.cpu_percent <= 100
    assert facts.pressure in ("normal", "warn", "critical")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")
async def test_this_linux_tells_the_same_as_its_own_files(tmp_path: Path) -> None:
    facts = await Observer(tmp_path).observe()
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert facts.memory_total_bytes <= int(total.split()[1]) * 1024
    assert facts.swap_used_bytes is not None
    assert facts.thermal == "unknown" or facts.temperature_c is not None
    assert facts.power in ("mains", "battery", "unavailable")


async def test_a_machine_on_which_no_probe_answers_is_still_a_machine() -> None:
    assert await Observer(Path("x"), probes=()).observe() == Machine()
