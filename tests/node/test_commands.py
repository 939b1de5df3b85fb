"""`herd node` and the commands beside it: which settings they are given, and what they say of this machine's node."""

import subprocess
import sys
from pathlib import Path

import pytest

from node import cli, standing
from node.settings import NodeSettings, completed
from node.state import Claim, NodeState, StateFile


def herd_node(*tokens: str) -> int:
    """The code with which the command leaves."""
    with pytest.raises(SystemExit) as left:
        cli.build("herd-node")(list(tokens), exit_on_error=False, print_error=False)
    return int(left.value.code or 0)


def node(home: Path) -> NodeSettings:
    return completed(NodeSettings(node_id="oak", data_dir=home))


def test_a_node_that_does_not_run_is_told_with_the_code_of_service_managers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert herd_node("status", "--node-id", "oak", "--data-dir", str(tmp_path)) == 3
    assert "oak, does not run" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_runs_is_told_with_its_fleet_and_router(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = node(tmp_path)
    StateFile(settings.state_file).save(NodeState(pinned="f-1", router="http://10.0.0.5:11435", tokens={"f-1": "t0"}))
    claim = Claim(settings.lock_file)
    try:
        assert herd_node("status", "--node-id", "oak", "--data-dir", str(tmp_path)) == 0
        said = capsys.readouterr().out
        assert "oak, runs" in said
        assert "f-1" in said
        assert "http://10.0.0.5:11435" in said
        assert "t0" not in said
    finally:
        claim.release()
    assert not standing.runs(settings)


def test_the_commands_read_settings_from_where_the_node_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "herd.toml").write_text(f"[node]\nnode_id = 'elm'\ndata_dir = '{tmp_path.as_posix()}'\nslots = 2\n")
    assert herd_node("status", "--config", str(tmp_path / "herd.toml")) == 3
    assert "elm, does not run" in capsys.readouterr().out
    monkeypatch.setenv("FLEET_NODE_NODE_ID", "yew")
    assert herd_node("status", "--config", str(tmp_path / "herd.toml")) == 3
    assert "yew, does not run" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--learn-capacity", "--enable-capacity-learning", ""])
def test_learning_has_a_short_flag_and_the_documented_variable(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[NodeSettings] = []
    monkeypatch.setattr("node.start.start", told.append)
    if not flag:
        monkeypatch.setenv("FLEET_NODE_ENABLE_CAPACITY_LEARNING", "true")
    cli.build("herd-node")(["--node-id", "oak", *filter(None, [flag])], result_action="return_value")
    assert [settings.enable_capacity_learning for settings in told] == [True]


def test_a_setting_that_cannot_be_is_refused_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["status"]):
        assert herd_node(*command, "--node-id", "two words") == 2
        assert "--node-id" in capsys.readouterr().err


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    program = (
        "import sys; from node.cli import build; build('herd-node')(['--help'], result_action='return_value');"
        "print('HEAVY', [name for name in ('uvicorn', 'httpx', 'structlog', 'zeroconf') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("HEAVY []")
    assert "status" in shown
    assert "--router-url" in shown
