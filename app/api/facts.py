"""What never changes while the router runs. Knows nothing else."""

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """``fleet_id`` names this fleet for good; ``version`` is Herd's own."""

    fleet_id: str
    version: str
