"""The commands that ask a running router: status, explain, approve, drain and more. Knows nothing of how it answers."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import httpx
from cyclopts import Parameter

from app.settings.schema import Server
from app.tell import explain_text, status_text
from node.log import clean

DEFAULT_ROUTER = "http://127.0.0.1:11435"
HOME = Server().data_dir
Router = Annotated[
    str, Parameter(name="--router", env_var="FLEET_ROUTER_URL", help="Base URL of the router that is asked.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the router's answer as it is.")]
Lasts = Annotated[str, Parameter(name="--for", help="How long, as 45m, 2h or 1d; otherwise until it is resumed.")]
DataDir = Annotated[
    Path,
    Parameter(name="--data-dir", env_var="FLEET_DATA_DIR", help="The router's folder: the admin token is read there."),
]


def status(*, router: Router = DEFAULT_ROUTER, as_json: Json = False) -> None:
    """Show the nodes, their models and what runs."""
    answer = _ask("GET", router, "/fleet/status")
    _print(json.dumps(answer, indent=2) if as_json else status_text(answer))


def explain(
    model: str,
    /,
    *,
    tokens: int = 0,
    router: Router = DEFAULT_ROUTER,
    as_json: Json = False,
) -> None:
    """Show which node a request would go to now, and why.

    Parameters
    ----------
    model
        The model as a client would name it.
    tokens
        Length of the prompt.
    """
    answer = _ask("GET", router, "/fleet/explain", params={"model": model, "tokens": str(tokens)})
    _print(json.dumps(answer, indent=2) if as_json else explain_text(answer))


def approve(name: str, /, *, router: Router = DEFAULT_ROUTER, data_dir: DataDir = HOME) -> None:
    """Let a machine in that waits for approval.

    Parameters
    ----------
    name
        The node's name, as `herd status` shows it.
    """
    _ask("POST", router, f"/fleet/nodes/{quote(name, safe='')}/approve", token=_admin_token(data_dir))
    _print(f"{clean(name)} may join")


def drain(name: str, /, *, router: Router = DEFAULT_ROUTER, data_dir: DataDir = HOME) -> None:
    """Give a node no new work; what runs there finishes. It stays so until `herd resume`.

    Parameters
    ----------
    name
        The node's name, as `herd status` shows it.
    """
    _ask("POST", router, f"/fleet/nodes/{quote(name, safe='')}/drain", token=_admin_token(data_dir))
    _print(f"{clean(name)} gets no new work")


def pause(name: str, /, *, lasts: Lasts = "", router: Router = DEFAULT_ROUTER, data_dir: DataDir = HOME) -> None:
    """Let a node rest; what runs there finishes. The node keeps it, also over its restart.

    Parameters
    ----------
    name
        The node's name, as `herd status` shows it.
    """
    path = f"/fleet/nodes/{quote(name, safe='')}/pause"
    _ask("POST", router, path, token=_admin_token(data_dir), body={"for": lasts})
    _print(f"{clean(name)} gets no new work {'for ' + clean(lasts) if lasts else 'until `herd resume`'}")


def resume(name: str, /, *, router: Router = DEFAULT_ROUTER, data_dir: DataDir = HOME) -> None:
    """Give a drained or paused node work again. A pause of its owner stays.

    Parameters
    ----------
    name
        The node's name, as `herd status` shows it.
    """
    answer = _ask("POST", router, f"/fleet/nodes/{quote(name, safe='')}/resume", token=_admin_token(data_dir))
    if answer["status"] == "paused":
        why = clean(str(answer["capacity"]["reason"]))
        _print(f"{clean(name)} is paused still ({why}): on its machine, `herd node resume` ends that")
    else:
        _print(f"{clean(name)} may get work again")


def forget(name: str, /, *, router: Router = DEFAULT_ROUTER, data_dir: DataDir = HOME) -> None:
    """Forget a node and free its name.

    Parameters
    ----------
    name
        The node's name, as `herd status` shows it.
    """
    _ask("DELETE", router, f"/fleet/nodes/{quote(name, safe='')}", token=_admin_token(data_dir))
    _print(f"{clean(name)} is forgotten")


def _ask(
    method: str,
    router: str,
    path: str,
    *,
    token: str = "",
    params: dict[str, str] | None = None,
    body: dict[str, str] | None = None,
) -> Any:
    """The router's JSON answer. Exits with one line and code 1 when there is none or it is a refusal."""
    base = (router if "//" in router else f"http://{router}").rstrip("/")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(10.0, connect=3.0)) as client:
            answer = client.request(method, base + path, params=params, headers=headers, json=body)
        said = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _fail(
            f"no router answers at {base} ({type(error).__name__}). "
            "Start one with `herd run`, or name another with --router or FLEET_ROUTER_URL."
        )
    except ValueError:
        _fail(f"what answers at {base} is no router: no JSON came")
    if answer.is_success:
        return said
    why = said.get("error", said) if isinstance(said, dict) else said
    return _fail(str(why.get("message", why) if isinstance(why, dict) else why))


def _admin_token(data_dir: Path) -> str:
    if token := os.environ.get("FLEET_ADMIN_TOKEN", "").strip():
        return token
    path = data_dir.expanduser() / "admin-token"
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        _fail(f"cannot read the admin token in {path} ({error.strerror}): set FLEET_ADMIN_TOKEN or --data-dir")


def _print(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer


def _fail(why: str) -> NoReturn:
    sys.exit(f"herd: {clean(why, 1000)}")
