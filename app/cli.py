"""The command `herd`: its subcommands, and where each setting comes from. Knows nothing of how a command works.

A flag beats an environment variable (``FLEET_*``), that beats the ``[router]`` table of the file named by ``--config``,
and that beats the default. Every command lives behind a string or in ``_start``, so that help is there at once.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter
from cyclopts.config import Env, Toml

from app.modalities import sections as modality_sections
from app.settings.ranges import refusal
from app.settings.resolve import Source, sections
from app.settings.schema import Settings
from node.version import own_version

TITLES = {"heartbeat": "Nodes", "queue": "Requests", "score": "Scoring"}
"""Headings in the help where the section's own name says less."""
UPPER_CASE = ("--log-level", "--console-log-level")
LOWER_CASE = ("--auto-pull",)


def main() -> None:
    build()()


def build() -> App:
    """The command with all its subcommands; a bare `herd` is `herd run`."""
    heard = Heard()
    herd = App(
        name="herd",
        help="Turns the machines you already have into one AI endpoint.",
        version=own_version,
        help_format="plaintext",
        config=[Env("FLEET_", command=False), _from_file, heard],
        default_parameter=Parameter(negative_iterable=()),
    )
    run = _run_command(heard)
    herd.default(run)
    herd.command(run, name="run")
    herd.command("node.cli:app", name="node", help="Run the agent of this machine: report it to the router.")
    herd.command("app.ask:status", name="status", help="Show the nodes, their models and what runs.", config=())
    herd.command(
        "app.ask:explain", name="explain", help="Show which node a request would go to now, and why.", config=()
    )
    herd.command("app.ask:approve", name="approve", help="Let a machine in that waits for approval.", config=())
    herd.command("app.ask:drain", name="drain", help="Give a node no new work; what runs finishes.", config=())
    herd.command("app.ask:pause", name="pause", help="Let a node rest; what runs finishes.", config=())
    herd.command("app.ask:resume", name="resume", help="Give a drained or paused node work again.", config=())
    herd.command("app.ask:forget", name="forget", help="Forget a node and free its name.", config=())
    herd.command(
        "app.demo:demo", name="demo", help="Show the main job on this machine: one real answer, through a real router."
    )
    herd.command(
        "app.dev.command:dev", name="dev", help="Show Herd with simulated nodes and a week of history, to work on it."
    )
    policy = App(name="policy", help="Work with policy files.")
    policy.command("app.check:check", name="check", help="Read a policy file and say what is wrong with it.")
    herd.command(policy)
    return herd


class Heard:
    """The last of the configuration sources: adds nothing, but keeps who said what."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        for argument in arguments:
            if argument.tokens:
                said = argument.tokens[0].source
                name = argument.name.removeprefix("--").replace("-", "_")
                self.sources[name] = "flag" if said == "cli" else "environment" if said == "env" else "file"
            if argument.name in UPPER_CASE:
                argument.tokens[:] = [token.evolve(value=token.value.upper()) for token in argument.tokens]
            if argument.name in LOWER_CASE:
                argument.tokens[:] = [token.evolve(value=str(token.value).lower()) for token in argument.tokens]


def _run_command(heard: Heard) -> Any:
    """`herd run`, with a flag for every setting: of the core, and of each modality that was found."""
    default = Settings(modalities=modality_sections.found())

    def run(*, config: Path | None = None, **told: Any) -> None:
        """Run the router.

        Parameters
        ----------
        config
            TOML file whose `[router]` table holds settings.
        """
        modalities = {name: told.pop(name, values) for name, values in default.modalities.items()}
        settings = Settings(**told, modalities=modalities)
        _refuse_out_of_range(settings, heard.sources)
        _start(settings, {name: source for name, source in heard.sources.items() if name != "config"})

    flags = [_flag("config", Annotated[Path | None, _part("Server", 1, name="--config")], None)]
    for order, (name, values) in enumerate(sections(default), 1):
        flags.append(_flag(name, Annotated[type(values), _part(_title(name, type(values)), order)], values))
    vars(run)["__signature__"] = inspect.Signature(flags)
    return run


def _flag(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _title(name: str, section: type) -> str:
    return TITLES.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", section.__name__).capitalize()


def _part(title: str, order: int, *, name: str = "*") -> Parameter:
    return Parameter(name=name, group=Group(title, sort_key=order))


def _from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Reads the file that ``--config`` or ``FLEET_CONFIG`` names; an unknown key in it is an error."""
    for argument in arguments:
        if argument.name == "--config" and argument.tokens:
            path = Path(argument.tokens[0].value).expanduser()
            if not path.is_file():
                raise CycloptsError(msg=f"There is no file {path} (named by --config or FLEET_CONFIG).")
            Toml(path, root_keys=["router"], use_commands_as_keys=False)(app, commands, arguments)


def _refuse_out_of_range(settings: Settings, sources: Mapping[str, Source]) -> None:
    for _, values in sections(settings):
        for setting in fields(values):
            value = getattr(values, setting.name)
            if why := refusal(setting, value):
                flag, variable = "--" + setting.name.replace("_", "-"), "FLEET_" + setting.name.upper()
                spelt = {"environment": variable, "file": f"[router] {setting.name}"}
                told = spelt.get(sources.get(setting.name, ""), flag)
                print(f"herd: invalid value {value} for {told}: it {why}", file=sys.stderr)  # noqa: T201
                sys.exit(2)


def _start(settings: Settings, sources: Mapping[str, Source]) -> None:
    """The one import that waits: the server brings a second of libraries which no other command needs."""
    importlib.import_module("app.start").start(settings, sources)


if __name__ == "__main__":
    main()
