"""What service managers are given to read, word for word, and what `herd node install` and `uninstall` do with it."""

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import cli, service
from node.install import program
from node.service import UNUSABLE, Plan, Service, flags, name_of, plan

HERE = Service(
    name="herd-node",
    command=("/home/ann/.local/bin/herd-node", "--router-url=http://10.0.0.5:11435", "--models-dir=/srv/my models/50%"),
    user="ann",
    home=PurePosixPath("/home/ann"),
    errors=PurePosixPath("/home/ann/.fleet-manager/logs/herd-node.err"),
)
UNIT = """[Unit]
Description=Herd node
StartLimitIntervalSec=0

[Service]
ExecStart=/home/ann/.local/bin/herd-node --router-url=http://10.0.0.5:11435 "--models-dir=/srv/my models/50%%"
Restart=always
RestartSec=5
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=90
OOMPolicy=continue
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""
PLIST = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>herd.node</string>
	<key>ProgramArguments</key>
	<array>
		<string>/home/ann/.local/bin/herd-node</string>
		<string>--router-url=http://10.0.0.5:11435</string>
		<string>--models-dir=/srv/my models/50%</string>
		<string>--console-log-level=ERROR</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<true/>
	<key>ThrottleInterval</key>
	<integer>10</integer>
	<key>ExitTimeOut</key>
	<integer>90</integer>
	<key>StandardOutPath</key>
	<string>/dev/null</string>
	<key>StandardErrorPath</key>
	<string>/home/ann/.fleet-manager/logs/herd-node.err</string>
</dict>
</plist>
"""


def planned(platform: str, **more: object) -> Plan:
    found = plan(Service(**{name: getattr(HERE, name) for name in HERE.__struct_fields__} | more), platform, uid=501)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_linux_gets_a_unit_of_the_user_that_lives_on_when_he_leaves() -> None:
    found = planned("linux")
    assert found.text.decode() == UNIT
    assert found.file == PurePosixPath("/home/ann/.config/systemd/user/herd-node.service")
    assert found.install == (
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "herd-node.service"),
        ("systemctl", "--user", "restart", "herd-node.service"),
    )
    assert found.uninstall == (("systemctl", "--user", "disable", "--now", "herd-node.service"),)
    assert found.wishes == (("loginctl", "enable-linger", "ann"),)


def test_root_gets_a_unit_of_the_system_that_runs_as_whoever_asked() -> None:
    found = planned("linux", system=True)
    before, after = UNIT.split("StartLimit"), UNIT.replace("default.target", "multi-user.target").split("StartLimit")
    wants = "Wants=network-online.target\nAfter=network-online.target\n"
    assert found.text.decode() == before[0] + wants + "StartLimit" + after[1].replace(
        'Restart=always', 'User=ann\nRestart=always'
    )  # fmt: skip
    assert found.file == PurePosixPath("/etc/systemd/system/herd-node.service")
    assert found.install[-1] == ("systemctl", "restart", "herd-node.service")
    assert not found.wishes


def test_macos_gets_an_agent_of_the_user() -> None:
    found = planned("darwin")
    assert found.text.decode() == PLIST
    assert found.file == PurePosixPath("/home/ann/Library/LaunchAgents/herd.node.plist")
    assert found.install == (("launchctl", "bootstrap", "gui/501", str(found.file)),)
    assert found.before == found.uninstall == (("launchctl", "bootout", "gui/501/herd.node"),)


def test_windows_gets_a_task_that_begins_at_log_on_and_ends_never() -> None:
    found = planned(
        "win32",
        user="PC\\ann & co",
        command=("C:\\Herd\\pythonw.exe", "-m", "node.cli", "--models-dir=D:\\my models\\"),
        errors=PureWindowsPath("C:\\Users\\ann\\.fleet-manager\\logs\\herd-node.err"),
    )
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    root = ElementTree.fromstring(found.text.decode("utf-16").partition("?>")[2])

    def said(path: str) -> str | None:
        return root.findtext("/".join(f"t:{part}" for part in path.split("/")), namespaces=space)

    assert found.text.decode("utf-16").startswith('<?xml version="1.0" encoding="UTF-16"?>')
    assert said("Triggers/LogonTrigger/UserId") == said("Principals/Principal/UserId") == "PC\\ann & co"
    assert said("Settings/ExecutionTimeLimit") == "PT0S"
    assert said("Settings/RestartOnFailure/Interval") == "PT1M"
    assert said("Settings/StopIfGoingOnBatteries") == "false"
    assert said("Actions/Exec/Command") == "C:\\Herd\\pythonw.exe"
    assert said("Actions/Exec/Arguments") == '-m node.cli "--models-dir=D:\\my models\\\\"'
    assert found.install[0] == ("schtasks", "/Create", "/TN", "herd-node", "/XML", str(found.file), "/F")


def test_another_system_is_told_that_no_way_is_known() -> None:
    assert plan(HERE, "freebsd14") is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_windows_takes_a_word_apart_as_it_was_meant(word: str) -> None:
    if not any(char.isspace() and char not in " \t" for char in word):
        assert service._windows_word(word or "x") == subprocess.list2cmdline([word or "x"])


def test_a_property_list_holds_any_word() -> None:
    odd = ("/bin/x", "--a=<&>\"'", "--b=ü")
    assert plistlib.loads(planned("darwin", command=odd).text)["ProgramArguments"][:3] == list(odd)


def test_settings_become_flags() -> None:
    told = {"mdns": False, "engine": ("a=http://x", "b=http://y"), "slots": 2, "data_dir": Path("/d")}
    assert flags(told) == ["--no-mdns", "--engine=a=http://x", "--engine=b=http://y", "--slots=2", "--data-dir=/d"]
    assert (name_of(""), name_of("oak")) == ("herd-node", "herd-node-oak")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path, system: bool) -> None:
    found = planned(
        "linux", system=system, user="root", command=(sys.executable, "-c", "a b", '"', "50%", "$HOME", "\\")
    )
    unit = tmp_path / "herd-node.service"
    unit.write_bytes(found.text)
    (tmp_path / "run").mkdir(mode=0o700)
    mode = [] if system else ["--user"]
    checked = subprocess.run(
        ["systemd-analyze", "verify", *mode, "--man=no", unit], capture_output=True, text=True, timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
    )  # fmt: skip
    ours = [line for line in checked.stderr.splitlines() if "herd-node" in line]
    assert (ours, checked.returncode) == ([], 0), checked.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, and service managers that write down what they are told."""
    for name in ("systemctl", "loginctl"):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        fails = f"[ -e {tmp_path}/{name}.fails ] && echo no >&2 && exit 1"
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/told\n{fails}\nexit 0\n')
        script.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setattr(os, "getuid", lambda: 987654)
    return tmp_path


def herd_node(*tokens: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.build("herd-node")(list(tokens), exit_on_error=False, print_error=False)
    return int(left.value.code or 0)


linux = pytest.mark.skipif(sys.platform != "linux", reason="pretends to be systemd")


@linux
def test_what_is_told_at_installing_is_what_the_node_starts_with(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "herd.toml").write_text("[node]\nslots = 3\n")
    monkeypatch.setenv("FLEET_NODE_ROUTER_URL", "10.0.0.5")
    monkeypatch.chdir(home)
    assert herd_node("install", "--config", "herd.toml", "--node-id", "oak", "--models-dir", "gguf") == 0
    unit = home / ".config/systemd/user/herd-node-oak.service"
    (start,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    words = [f"--config={home}/herd.toml", "--node-id=oak", "--router-url=10.0.0.5", f"--models-dir={home}/gguf"]
    assert sorted(shlex.split(start.removeprefix("ExecStart="))) == sorted([*program(), *words])
    assert (home / "told").read_text().splitlines()[-2:] == [
        "systemctl --user restart herd-node-oak.service",
        "loginctl enable-linger 987654",
    ]
    assert herd_node("status", "--node-id", "oak") == 3
    assert f"with this machine: systemd unit of the user {unit}" in capsys.readouterr().out
    assert herd_node("uninstall", "--node-id", "oak") == 0
    assert not unit.exists()
    assert (home / "told").read_text().splitlines()[-1] == "systemctl --user disable --now herd-node-oak.service"
    assert herd_node("uninstall", "--node-id", "oak") == 1


@linux
def test_a_service_manager_that_refuses_is_quoted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "systemctl.fails").touch()
    assert herd_node("install") == 1
    assert "`systemctl --user daemon-reload` failed: no" in capsys.readouterr().err
    (home / "systemctl.fails").unlink()
    (home / "loginctl.fails").touch()
    assert herd_node("install") == 0
    assert "only while you are signed in" in capsys.readouterr().out


@linux
def test_a_dry_run_writes_and_tells_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert herd_node("install", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "RestartSec=5" in said
    assert "systemctl --user enable herd-node.service" in said
    assert not (home / "told").exists()
    assert not (home / ".config").exists()


def test_settings_that_cannot_be_are_refused_before_and_end_a_node_for_good(home: Path) -> None:
    assert herd_node("install", "--node-id", "two words") == UNUSABLE
    assert not (home / "told").exists()
