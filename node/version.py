"""Which version of Herd this is. Knows nothing else."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The installed package's; 0.0.0 in a tree that nobody installed."""
    try:
        return version("herd-router")
    except PackageNotFoundError:
        return "0.0.0"
