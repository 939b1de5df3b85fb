"""The command `herd`: flag over variable over file over default, one line for what is wrong, help at once."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from app import cli
from app.modalities.sections import found
from app.settings.describe import knobs_of
from app.settings.resolve import sections, value_of
from app.settings.schema import Settings

DEFAULT = Settings(modalities=found())
HEAVY = ("litestar", "sqlalchemy", "uvicorn", "httpx", "advanced_alchemy", "structlog", "zeroconf")


class Started:
    """What the router would have been started with."""

    def __init__(self) -> None:
        self.settings: list[Settings] = []
        self.sources: Mapping[str, str] = {}

    def __call__(self, settings: Settings, sources: Mapping[str, str]) -> None:
        self.settings.append(settings)
        self.sources = sources


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    start = Started()
    monkeypatch.setattr(cli, "_start", start)
    return start


def herd(*tokens: str) -> None:
    cli.build()(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")


@pytest.mark.parametrize("command", [[], ["run"]])
def test_a_bare_herd_is_herd_run(started: Started, command: list[str]) -> None:
    herd(*command, "--port", "1", "--no-mdns", "--trace-days", "3")
    (settings,) = started.settings
    assert (settings.server.port, settings.server.mdns, settings.history.trace_days) == (1, False, 3)
    assert started.sources == {"port": "flag", "mdns": "flag", "trace_days": "flag"}


def test_without_a_word_all_is_default(started: Started) -> None:
    herd()
    assert (started.settings, started.sources) == ([DEFAULT], {})


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "herd.toml"
    file.write_text('[router]\nport = 3\nhost = "127.0.0.3"\nhold_timeout = 3\nmdns = false\n[node]\nother = 1\n')
    monkeypatch.setenv("FLEET_PORT", "2")
    monkeypatch.setenv("FLEET_HOST", "127.0.0.2")
    monkeypatch.setenv("FLEET_NODE_PORT", "9")
    herd("--config", str(file), "--port", "1")
    (settings,) = started.settings
    assert (settings.server.port, settings.server.host) == (1, "127.0.0.2")
    assert (settings.queue.hold_timeout, settings.server.mdns, settings.queue.queue_timeout) == (3.0, False, 600.0)
    assert started.sources == {"port": "flag", "host": "environment", "hold_timeout": "file", "mdns": "file"}


def test_the_file_may_be_named_by_a_variable(started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "herd.toml").write_text("[router]\nport = 3\n")
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "herd.toml"))
    herd()
    assert (started.settings[0].server.port, started.sources) == (3, {"port": "file"})


def test_one_run_leaves_nothing_behind_for_the_next(started: Started) -> None:
    herd("--port", "1")
    herd()
    assert started.sources == {}


def test_every_setting_is_a_flag_and_a_variable(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "join": "open", "log_level": "ERROR", "console_log_level": "ERROR", "context_protection": "warn",
        "keep_alive": "hold", "pre_warm_min_availability": "0.25", "num_ctx_overrides": '{"m:1.5b": 7}',
        "auto_pull": "any", "anthropic_model_map": '{"a": "b"}',
    }  # fmt: skip
    for _, values in sections(DEFAULT):
        for known, knob in zip(fields(values), knobs_of(type(values)), strict=True):
            usual = getattr(values, known.name)
            value = words.get(known.name, str(not usual) if isinstance(usual, bool) else "7")
            with monkeypatch.context() as patch:
                patch.setenv(knob.variable, value)
                herd()
            told = str(value_of(started.settings[-1], known.name)).replace("'", '"')
            assert told.lower().removesuffix(".0") == value.lower()
            herd(f"{knob.flag}={value}")
            assert value_of(started.settings[-1], known.name) == value_of(started.settings[-2], known.name)


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_levels_may_be_written_in_any_case(started: Started, level: str) -> None:
    herd("--console-log-level", level)
    assert started.settings[0].server.console_log_level == "DEBUG"


@pytest.mark.parametrize(
    ("said", "held"), [("true", "true"), ("True", "true"), ("OFF", "off"), ("any", "any"), ("false", "false")]
)
def test_what_is_pulled_for_a_request_may_be_a_switch_or_a_word(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, held: str
) -> None:
    monkeypatch.setenv("FLEET_AUTO_PULL", said)
    herd()
    file = tmp_path / "herd.toml"
    file.write_text(f"[router]\nauto_pull = {held if held in ('true', 'false') else repr(said)}\n")
    monkeypatch.delenv("FLEET_AUTO_PULL")
    herd("--config", str(file))
    assert [settings.models.auto_pull for settings in started.settings] == [held, held]


@pytest.mark.parametrize(
    ("tokens", "variable", "file", "named"),
    [
        (["--port", "x"], None, None, "--port"),
        ([], ("FLEET_PORT", "x"), None, "FLEET_PORT"),
        ([], None, 'port = "x"', "[router][port]"),
        ([], None, "prot = 1", "prot"),
        ([], None, "not toml", ""),
        (["--join", "anybody"], None, None, "--join"),
        (["--nothing"], None, None, "--nothing"),
        (["--config", "/nowhere.toml"], None, None, "/nowhere.toml"),
    ],
)
def test_a_bad_value_names_where_it_came_from(
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tokens: list[str],
    variable: tuple[str, str] | None,
    file: str | None,
    named: str,
) -> None:
    if variable:
        monkeypatch.setenv(*variable)
    if file:
        (tmp_path / "herd.toml").write_text("[router]\n" + file)
        tokens = [*tokens, "--config", str(tmp_path / "herd.toml")]
    with pytest.raises(CycloptsError) as raised:
        herd(*tokens)
    assert named in str(raised.value)
    assert started.settings == []


@pytest.mark.parametrize(
    ("tokens", "named"), [(["--port", "70000"], "--port"), (["--heartbeat-interval", "0"], "--heartbeat")]
)
def test_a_number_out_of_range_is_refused_before_anything_starts(
    started: Started, capsys: pytest.CaptureFixture[str], tokens: list[str], named: str
) -> None:
    with pytest.raises(SystemExit) as left:
        herd(*tokens)
    assert left.value.code == 2
    assert named in capsys.readouterr().err
    assert started.settings == []


def test_help_loads_nothing_heavy_and_shows_every_flag() -> None:
    program = (
        "import sys; from app.cli import build; build()(['--help'], result_action='return_value');"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    wide = {**os.environ, "COLUMNS": "200"}
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=wide).stdout
    assert shown.rstrip().endswith("HEAVY []")
    for _, values in sections(DEFAULT):
        for knob in knobs_of(type(values)):
            assert knob.flag in shown


def test_a_good_policy_file_is_told_and_a_bad_one_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = Path(cli.__file__).parent / "modalities" / "llm" / "policy.toml"
    herd("policy", "check", str(good))
    assert "thermal" in capsys.readouterr().out
    (tmp_path / "bad.toml").write_text('name = "x"\n[[score]]\nuse = "luck"\n')
    for path in (tmp_path / "bad.toml", tmp_path / "none.toml"):
        with pytest.raises(SystemExit, match=path.name):
            herd("policy", "check", str(path))
