"""The command `herd node`, also installed as `herd-node`, and where its settings come from. Knows nothing of a node.

A flag beats an environment variable (``FLEET_NODE_*``), that beats the ``[node]`` table of the file named by
``--config`` or ``FLEET_CONFIG``, and that beats the default.
"""

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter
from cyclopts.config import Env, Toml

from node.settings import NodeSettings, Unusable, completed
from node.version import own_version

TOLD_BY = ("cli", "env")
"""What cyclopts calls flags and variables."""
ANY_CASE = ("--log-level", "--console-log-level")
File = Annotated[Path | None, Parameter(env_var="FLEET_CONFIG", help="TOML file whose `[node]` table holds settings.")]
LEARN = ("--enable-capacity-learning", "--learn-capacity")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelt(NodeSettings):
    """The settings as the command line spells them: one of them in two ways."""

    enable_capacity_learning: Annotated[bool, Parameter(name=LEARN)] = False


Told = Annotated[Spelt, Parameter(name="*")]
Same = Annotated[Spelt, Parameter(name="*", show=False)]
"""The settings of the node that a command is about: read from the same places, and not listed again in its help."""
Lasts = Annotated[str, Parameter(name="--for")]


def main() -> None:
    build("herd-node")()


def _separated(hint: Any, value: str, *, delimiter: str | None = None) -> list[str]:
    """A variable's value: several only where several are wanted, so that a folder's name may hold a space."""
    return [part for part in re.split(r"[,\s]+", value) if part] if get_origin(hint) is tuple else [value]


def _run(
    *,
    config: File = None,
    settings: Told = Spelt(),
    forget: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Run the agent of this machine: report it to the router.

    Parameters
    ----------
    forget
        Forget the fleet this node belongs to and the tokens it was given, and end.
    """
    life = importlib.import_module("node.start")  # it brings a half second of libraries which help does not need
    if forget:
        life.forget(_completed(settings))
    else:
        life.start(_completed(settings))


def _status(*, config: File = None, settings: Same = Spelt()) -> None:
    """Say whether this machine's node runs, and which fleet it belongs to; leaves with 3 when it does not run.

    `--node-id`, `--data-dir` and `--config` name the node, as they do for `herd node`.
    """
    sys.exit(importlib.import_module("node.standing").show(_completed(settings), name=settings.node_id))


def _uninstall(*, config: File = None, settings: Same = Spelt()) -> None:
    """Stop the node that starts with this machine, and let it start no more. Its fleet is not forgotten.

    `--node-id` names the node if it was installed under a name of its own.
    """
    sys.exit(importlib.import_module("node.install").uninstall(_completed(settings), name=settings.node_id))


class Heard:
    """The last of the configuration sources: adds nothing, but keeps what was told by flag or variable."""

    def __init__(self) -> None:
        self.told: tuple[str, ...] = ()

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        said = [argument.name for argument in arguments if argument.tokens and argument.tokens[0].source in TOLD_BY]
        self.told = tuple(name.removeprefix("--").replace("-", "_") for name in said)


def _install_command(heard: Heard) -> Callable[..., None]:
    def install(
        *,
        config: File = None,
        settings: Same = Spelt(),
        dry_run: Annotated[bool, Parameter(negative=())] = False,
    ) -> None:
        """Start the node with this machine from now on: a systemd unit, a LaunchAgent, a scheduled task.

        All flags of `herd node` are taken, and so are variables: what is told here is what it will be started with. A
        file named by `--config` is read at each start. Installing again replaces what was installed.

        Parameters
        ----------
        dry_run
            Show what would be written and run.
        """
        told = {name: getattr(settings, name) for name in heard.told if hasattr(settings, name)}
        sys.exit(
            importlib.import_module("node.install").install(
                _completed(settings), name=settings.node_id, told=told, config=config, dry_run=dry_run
            )
        )

    return install


def _pause(*, lasts: Lasts = "", config: File = None, settings: Same = Spelt()) -> None:
    """Take nothing new on this machine; what runs finishes. It holds over a restart, until `herd node resume`.

    Parameters
    ----------
    lasts
        How long, as 45m, 2h or 1d.
    """
    importlib.import_module("node.wishes").pause(_completed(settings), lasts)


def _resume(*, lasts: Lasts = "", config: File = None, settings: Same = Spelt()) -> None:
    """Take a pause of this machine back, whoever asked for it.

    Parameters
    ----------
    lasts
        For so long (45m, 2h, 1d) lend everything, whatever the node has learned; a meeting still pauses it.
    """
    importlib.import_module("node.wishes").resume(_completed(settings), lasts)


def _completed(settings: NodeSettings) -> NodeSettings:
    try:
        return completed(settings)
    except Unusable as error:
        print(f"herd node: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def _from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Reads the file that ``--config`` names; an unknown key in it is an error."""
    for argument in arguments:
        if argument.name == "--config" and argument.tokens:
            path = Path(argument.tokens[0].value).expanduser()
            if not path.is_file():
                raise CycloptsError(msg=f"There is no file {path} (named by --config or FLEET_CONFIG).")
            Toml(path, root_keys=["node"], use_commands_as_keys=False)(app, commands, arguments)


def _in_any_case(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
    for argument in arguments:
        if argument.name in ANY_CASE:
            argument.tokens[:] = [token.evolve(value=token.value.upper()) for token in argument.tokens]


def build(name: str) -> App:
    """The command under the name by which it is called."""
    heard = Heard()
    command = App(
        name=name,
        help="Run the agent of this machine: report it to the router.",
        version=own_version,
        help_format="plaintext",
        config=[Env("FLEET_NODE_", command=False), _from_file, _in_any_case, heard],
        default_parameter=Parameter(negative_iterable=(), env_var_split=_separated),
    )
    command.default(_run)
    command.command(_status, name="status")
    command.command(_pause, name="pause")
    command.command(_resume, name="resume")
    command.command(_install_command(heard), name="install")
    command.command(_uninstall, name="uninstall")
    return command


app = build("node")

if __name__ == "__main__":
    main()
