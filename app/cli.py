"""The command `herd`: its subcommands, and where each setting comes from. Knows nothing of how a command works.

A flag beats an environment variable (``FLEET_*``), that beats the ``[router]`` table of the file named by ``--config``,
and that beats the default. Every command lives behind a string or in ``_start``, so that help is there at once.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter
from cyclopts.config import Env, Toml

from app.settings.ranges import refusal
from app.settings.resolve import Source
from app.settings.schema import Heartbeat, History, Queue, Score, Server, Settings
from node.version import own_version

DEFAULT = Settings()
ANY_CASE = ("--log-level", "--console-log-level")


def main() -> None:
    build()()


def build() -> App:
    """The command with all its subcommands; a bare `herd` is `herd run`."""
    heard = Heard()
    herd = App(
        name="herd",
        help="Turns the machines you already have into one AI endpoint.",
        version=own_version,
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
    herd.command("app.ask:forget", name="forget", help="Forget a node and free its name.", config=())
    herd.command("app.demo:demo", name="demo", help="A router with simulated machines, to look around.")
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
            if argument.name in ANY_CASE:
                argument.tokens[:] = [token.evolve(value=token.value.upper()) for token in argument.tokens]


def _run_command(heard: Heard) -> Any:
    def run(
        *,
        config: Annotated[Path | None, _part("Server", 1, name="--config")] = None,
        server: Annotated[Server, _part("Server", 1)] = DEFAULT.server,
        heartbeat: Annotated[Heartbeat, _part("Nodes", 2)] = DEFAULT.heartbeat,
        queue: Annotated[Queue, _part("Requests", 3)] = DEFAULT.queue,
        score: Annotated[Score, _part("Scoring", 4)] = DEFAULT.score,
        history: Annotated[History, _part("History", 5)] = DEFAULT.history,
    ) -> None:
        """Run the router.

        Parameters
        ----------
        config
            TOML file whose `[router]` table holds settings.
        """
        settings = Settings(server=server, heartbeat=heartbeat, queue=queue, score=score, history=history)
        _refuse_out_of_range(settings, heard.sources)
        _start(settings, {name: source for name, source in heard.sources.items() if name != "config"})

    return run


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
    for section in fields(settings):
        values = getattr(settings, section.name)
        for setting in fields(values):
            value = getattr(values, setting.name)
            if why := refusal(setting.name, value):
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
