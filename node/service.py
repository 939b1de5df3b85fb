"""How each system is told to keep a node running: what is written, and which commands make it so. Pure; knows no disk.

Linux: a systemd unit, of the user, or of the system if root installs it. macOS: a LaunchAgent of the user. Windows: a
task that begins when the user logs on, because a service there must speak with its manager in its own way, and because
Ollama and its graphics card are the user's there too.
"""

import plistlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from xml.sax.saxutils import escape

import msgspec

GRACE_S = 30
"""Seconds beyond the drain that a node may take to end."""
UNUSABLE = 2
"""The code with which a node leaves when its settings cannot be; starting it again would change nothing."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A node that shall run. ``command`` starts it; ``user`` is whose it is; ``system``: it belongs to no login.

    ``name`` tells it from other nodes of this machine.
    """

    name: str
    command: tuple[str, ...]
    user: str
    home: PurePath
    errors: PurePath
    drain_s: float = 60.0
    system: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``file`` with ``text`` is written, then ``install`` is run; ``uninstall`` is run, then the file is removed.

    ``folders`` must be there. ``before`` ends an earlier one and may fail, as may ``wishes``, which make a good thing
    better.
    """

    kind: str
    file: PurePath
    text: bytes
    install: tuple[tuple[str, ...], ...]
    uninstall: tuple[tuple[str, ...], ...]
    folders: tuple[PurePath, ...]
    before: tuple[tuple[str, ...], ...] = ()
    wishes: tuple[tuple[str, ...], ...] = ()


def plan(service: Service, platform: str, *, uid: int = 0) -> Plan | None:
    """None where no way is known."""
    if platform == "linux":
        return _systemd(service)
    if platform == "darwin":
        return _launchd(service, uid)
    return _task(service) if platform == "win32" else None


def flags(told: Mapping[str, object]) -> list[str]:
    """Settings as ``herd node`` takes them: ``--no-mdns``, a flag for each of several values."""
    words = []
    for name, value in told.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else "--no-" + flag[2:])
        else:
            words += [f"{flag}={one}" for one in (value if isinstance(value, tuple) else (value,))]
    return words


def unit(service: Service) -> str:
    """A systemd unit. The kernel may end an engine for want of memory: the node lives on and reports that."""
    lines = [
        "[Unit]",
        "Description=Herd node",
        *(["Wants=network-online.target", "After=network-online.target"] if service.system else []),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "ExecStart=" + " ".join(map(_systemd_word, service.command)),
        *([f"User={service.user}"] if service.system else []),
        "Restart=always",
        "RestartSec=5",
        f"RestartPreventExitStatus={UNUSABLE}",
        "KillMode=mixed",
        f"TimeoutStopSec={service.drain_s + GRACE_S:.0f}",
        "OOMPolicy=continue",
        "NoNewPrivileges=yes",
        "",
        "[Install]",
        f"WantedBy={'multi-user' if service.system else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def agent(service: Service) -> bytes:
    """A property list for launchd. What the node logs is in its own file; here only what ends it is kept."""
    return plistlib.dumps(
        {
            "Label": _label(service),
            "ProgramArguments": [*service.command, "--console-log-level=ERROR"],
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 10,
            "ExitTimeOut": int(service.drain_s + GRACE_S),
            "StandardOutPath": "/dev/null",
            "StandardErrorPath": str(service.errors),
        },
        sort_keys=False,
    )


def task(service: Service) -> str:
    """A task for Windows' scheduler: at log-on, again a minute after it ended, also on battery, without end."""
    program, *words = service.command
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Herd node</Description></RegistrationInfo>
  <Triggers>
    <LogonTrigger><Enabled>true</Enabled><UserId>{escape(service.user)}</UserId></LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{escape(service.user)}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(program)}</Command>
      <Arguments>{escape(" ".join(map(_windows_word, words)))}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def _systemd(service: Service) -> Plan:
    file = f"{service.name}.service"
    folder = PurePath("/etc/systemd/system") if service.system else service.home / ".config/systemd/user"
    systemctl = ("systemctl",) if service.system else ("systemctl", "--user")
    return Plan(
        kind="systemd unit" if service.system else "systemd unit of the user",
        file=folder / file,
        text=unit(service).encode(),
        install=((*systemctl, "daemon-reload"), (*systemctl, "enable", file), (*systemctl, "restart", file)),
        uninstall=((*systemctl, "disable", "--now", file),),
        folders=(folder,),
        wishes=() if service.system else (("loginctl", "enable-linger", service.user),),
    )


def _launchd(service: Service, uid: int) -> Plan:
    file = service.home / f"Library/LaunchAgents/{_label(service)}.plist"
    domain = f"gui/{uid}"
    leave = ("launchctl", "bootout", f"{domain}/{_label(service)}")
    return Plan(
        kind="LaunchAgent",
        file=file,
        text=agent(service),
        install=(("launchctl", "bootstrap", domain, str(file)),),
        uninstall=(leave,),
        folders=(file.parent, service.errors.parent),
        before=(leave,),
    )


def _task(service: Service) -> Plan:
    file = service.errors.parent / f"{service.name}.xml"
    named = ("/TN", service.name)
    return Plan(
        kind="scheduled task",
        file=file,
        text=task(service).encode("utf-16"),
        install=(("schtasks", "/Create", *named, "/XML", str(file), "/F"), ("schtasks", "/Run", *named)),
        uninstall=(("schtasks", "/End", *named), ("schtasks", "/Delete", *named, "/F")),
        folders=(file.parent,),
    )


def _label(service: Service) -> str:
    return service.name.replace("-", ".", 1)


def _systemd_word(word: str) -> str:
    """One word of ``ExecStart``: nothing in it is expanded, and it stays one word."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w%$@:,./=+-]+", escaped) else f'"{escaped}"'


def _windows_word(word: str) -> str:
    """One word of a command line, as Windows' programs take them apart."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    if word and not re.search(r"\s", word):
        return escaped
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def name_of(node_id: str) -> str:
    """The name under which a node is kept: one that was given a name of its own stands beside others."""
    return f"herd-node-{node_id}" if node_id else "herd-node"
