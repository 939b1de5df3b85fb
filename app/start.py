"""What must be true before the router serves: a private folder, an open log, a migrated database. Knows no request."""

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType

import structlog

from app.banner import log_file
from app.serve import serve
from app.settings.resolve import Source
from app.settings.schema import Settings
from app.store.database import DatabaseUnusable, migrate
from node.log import configure


def start(settings: Settings, sources: Mapping[str, Source]) -> None:
    """Run the router until it is told to stop. Exits with a sentence when its folder or database cannot be used."""
    os.umask(0o077)  # whatever is written from here on is its owner's alone
    server = settings.server
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"herd: cannot use the folder {settings.data_dir}: {error.strerror}. Try --data-dir.")
    log = configure(
        file=log_file(settings),
        file_level=server.log_level,
        console_level=server.console_log_level,
        days=settings.history.log_days,
    )
    # The server raises the signal again when it has stopped: without a handler the log's last lines would be lost.
    signal.signal(signal.SIGTERM, _leave)
    try:
        if aside := migrate(settings.data_dir):
            structlog.get_logger("store").warning("database.damaged", set_aside=str(aside))
        serve(settings, sources)
    except DatabaseUnusable as error:
        sys.exit(f"herd: {error}")
    except KeyboardInterrupt:
        pass
    finally:
        log.close()


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)
