"""What this machine is and how it feels, out of all its probes. Knows no engine and no router."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from node.machine.chip import chip
from node.machine.cpu import Busy
from node.machine.disk import disk, model_folders
from node.machine.gpu import Nvidia, gpus
from node.machine.heat import heat
from node.machine.memory import memory
from node.machine.power import power
from node.machine.probes import Probe, Probes
from node.wire import Machine

FOR_EVER_S = 86400.0
OFTEN_S = 2.0
"""Each look at the machine; looks are seconds apart."""


class Observer:
    """Keeps the newest facts, so that a heartbeat never waits for a question that hangs."""

    def __init__(self, models_dir: Path, probes: Iterable[Probe] | None = None) -> None:
        self._probes = Probes(probes_of(models_dir) if probes is None else probes)

    async def observe(self) -> Machine:
        """The facts; what the system does not tell has its default."""
        return msgspec.structs.replace(Machine(), **await self._probes.facts())


def probes_of(models_dir: Path) -> tuple[Probe, ...]:
    """All there is to ask this machine."""
    folders, nvidia = model_folders(models_dir), Nvidia()
    return (
        Probe(name="chip", ask=chip, every_s=FOR_EVER_S, fades=False),
        Probe(name="cpu", ask=Busy().look, every_s=OFTEN_S, fades=False),
        Probe(name="memory", ask=memory, every_s=OFTEN_S, fades=False),
        Probe(name="disk", ask=lambda: disk(folders), every_s=15.0),
        Probe(name="gpu", ask=lambda: gpus(nvidia), every_s=5.0),
        Probe(name="heat", ask=heat, every_s=10.0),
        Probe(name="power", ask=power, every_s=10.0),
    )
