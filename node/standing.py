"""How a node of this machine stands, seen from outside its process: does it run, whose is it? Knows no HTTP."""

from pathlib import Path

from node.install import plan_for
from node.settings import NodeSettings
from node.state import Claim, NameTaken, NodeState, StateFile
from node.version import own_version

STOPPED = 3
"""The code with which service managers' own status commands leave when a service does not run."""


def show(settings: NodeSettings, *, name: str) -> int:
    """Say it; the code with which to leave. ``settings`` are completed, ``name`` is the node's if it was given one."""
    running = runs(settings)
    try:
        state = StateFile(settings.state_file).load()
    except OSError:
        state = NodeState()
    print(described(settings, state, service=service(settings, name), running=running))  # noqa: T201
    return 0 if running else STOPPED


def service(settings: NodeSettings, name: str) -> str:
    """Whether it starts with the machine."""
    plan = plan_for(settings, name=name)
    if plan is None or not Path(plan.file).exists():
        return "by hand (`herd node install` lets it start with this machine)"
    return f"with this machine: {plan.kind} {plan.file}"


def runs(settings: NodeSettings) -> bool:
    """Whether a process of this machine goes by this node's name."""
    lock = settings.lock_file
    try:
        if lock.exists():
            Claim(lock).release()
    except NameTaken:
        return True
    except OSError:  # another user's: it cannot be told
        return False
    return False


def described(settings: NodeSettings, state: NodeState, *, service: str, running: bool) -> str:
    lines = [
        ("Node", f"{settings.node_id}, {'runs' if running else 'does not run'}"),
        ("Starts", service),
        ("Fleet", state.pinned or "none yet"),
        ("Router", settings.router_url or state.router or "none yet"),
        ("Log", str(settings.log_file)),
    ]
    return f"Herd {own_version()}\n" + "\n".join(f"  {name:<8}{what}" for name, what in lines)
