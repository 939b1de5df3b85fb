"""The command that reads a policy file and says what is wrong with it. Knows no router."""

import sys
from pathlib import Path

from app.scoring.policy import PolicyInvalid, load, use


def check(file: Path, /) -> None:
    """Read a policy file; say what it holds, or where it is wrong.

    Parameters
    ----------
    file
        A policy in TOML.
    """
    try:
        policy = load(file.read_text("utf-8"))
    except OSError as error:
        sys.exit(f"herd: cannot read {file}: {error.strerror}")
    except (PolicyInvalid, UnicodeDecodeError) as error:
        sys.exit(f"herd: {file}: {error}")
    filters = ", ".join(use(part) for part in policy.filter) or "none"
    scorers = ", ".join(use(part) for part in policy.score) or "none"
    print(  # noqa: T201 - a command's answer
        f"{policy.name}: good\n  filters  {filters}\n  scorers  {scorers}\n  picker   {use(policy.picker)}"
    )
