"""The commands `herd node install` and `uninstall`: write what a service manager reads, and tell it. Knows no node."""

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.service import Plan, Service, flags, name_of, plan
from node.settings import NodeSettings

TELL_S = 60.0
"""Seconds that a service manager may take: stopping an earlier node waits for what runs there."""


def install(
    settings: NodeSettings, *, name: str, told: Mapping[str, object], config: Path | None, dry_run: bool = False
) -> int:
    """Write, tell, say; the code with which to leave.

    ``settings`` are completed; ``told`` are those that were not left to default or file; ``name`` is the node's if it
    was given one.
    """
    chosen = plan_for(settings, name=name, told=told, config=config)
    if chosen is None:
        return _fail(f"no way is known to start a node with {sys.platform}; any supervisor can run `herd node`.")
    if dry_run:
        _say(f"{chosen.file}:\n\n{chosen.text.decode('utf-16' if chosen.kind == 'scheduled task' else 'utf-8')}")
        _say("\n".join(" ".join(command) for command in (*chosen.before, *chosen.install, *chosen.wishes)))
        return 0
    try:
        for folder in chosen.folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
        Path(chosen.file).write_bytes(chosen.text)
    except OSError as error:
        return _fail(f"cannot write {chosen.file}: {error.strerror}.")
    for command in chosen.before:
        _tell(command)
    for command in chosen.install:
        if why := _tell(command):
            return _fail(f"{chosen.file} is written, but `{' '.join(command)}` failed: {why}")
    _say(f"The node starts with this machine now: {chosen.kind} {chosen.file}")
    for command in chosen.wishes:
        if why := _tell(command):
            _say(f"It runs only while you are signed in, because `{' '.join(command)}` failed: {why}")
    _say("`herd node status` tells how it stands, `herd node uninstall` undoes this.")
    return 0


def uninstall(settings: NodeSettings, *, name: str) -> int:
    """Tell, remove, say; the code with which to leave. What a service manager knows no more is no failure."""
    chosen = plan_for(settings, name=name)
    if chosen is None or not Path(chosen.file).exists():
        return _fail(f"no {name_of(name)} was installed here.")
    for command in chosen.uninstall:
        if why := _tell(command):
            _say(f"`{' '.join(command)}`: {why}")
    try:
        Path(chosen.file).unlink()
    except OSError as error:
        return _fail(f"cannot remove {chosen.file}: {error.strerror}.")
    _say(f"The node starts with this machine no more. Removed: {chosen.file}")
    return 0


def plan_for(
    settings: NodeSettings, *, name: str, told: Mapping[str, object] | None = None, config: Path | None = None
) -> Plan | None:
    """What there is to do on this system for this user; None where no way is known."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    system = sys.platform == "linux" and uid == 0
    places = {key: _whole(value) for key, value in (told or {}).items()}
    words = flags(({"config": _whole(config)} if config is not None else {}) | places)
    service = Service(
        name=name_of(name),
        command=(*program(), *words),
        user=(os.environ.get("SUDO_USER", "") if system else "") or _user(uid),
        home=Path.home(),
        errors=settings.log_file.with_name(f"{name_of(name)}.err"),
        drain_s=settings.drain_timeout,
        system=system,
    )
    return plan(service, sys.platform, uid=uid)


def program() -> tuple[str, ...]:
    """How this very Herd is started as a node, whatever the service manager's own path is."""
    folder = Path(sys.executable).absolute().parent
    if sys.platform == "win32":
        return (str(folder / "pythonw.exe"), "-P", "-m", "node.cli")  # which opens no window
    script = folder / "herd-node"
    return (str(script),) if script.exists() else (str(folder / Path(sys.executable).name), "-P", "-m", "node.cli")


def _user(uid: int) -> str:
    """Whose process this is. The environment may say otherwise, and is asked only where there is nothing else."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _whole(value: object) -> object:
    """A path that means the same wherever it is read."""
    return value.expanduser().absolute() if isinstance(value, Path) else value


def _tell(command: Sequence[str]) -> str:
    """Why it failed, in its own words; empty if it did not."""
    try:
        ended = subprocess.run(  # noqa: S603 - a plan's own command
            command, capture_output=True, text=True, errors="replace", timeout=TELL_S, check=False
        )
    except FileNotFoundError:
        return f"there is no {command[0]} here"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if ended.returncode == 0 else (ended.stderr or ended.stdout).strip() or f"code {ended.returncode}"


def _say(text: str) -> None:
    print(text)  # noqa: T201


def _fail(text: str) -> int:
    print(f"herd node: {text}", file=sys.stderr)  # noqa: T201
    return 1
