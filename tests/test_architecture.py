"""The laws of the house, held over the whole tree. The tables are the law; ``architecture_rules.py`` reads the code.

Each rule is also shown a small source that breaks it: a law that cannot be broken says nothing.
"""

from collections.abc import Callable, Iterator

import architecture_rules as rules
import pytest
from architecture_rules import ROOT, Source

LAW = {
    # roof: the files that lie in app/ itself and are no ground
    "app": ("app", "node.wire", "node.log", "node.version", "node.machine.addresses"),
    "app.demo": ("app.demo_model", "app.processes", "node.engines", "node.log"),
    "app.dev": ("app.processes", "app.store", "node.agent", "node.log", "node.settings", "node.wire"),
    # doors: to clients, to nodes and operators, to people
    "app.modalities": (
        "app.fleet", "app.scoring", "app.bench.exercise", "app.catalog", "app.dialects", "app.asgi", "app.errors",
        "node.wire",
    ),
    "app.api": (
        "app.fleet", "app.bench", "app.scoring.types", "app.store", "app.dialects", "app.asgi", "app.errors",
        "node.wire",
    ),
    "app.web": (
        "app.fleet", "app.insight", "app.bench", "app.scoring", "app.settings", "app.store", "app.catalog",
        "app.errors", "node.wire",
    ),
    # the fleet put to work to measure it
    "app.bench": ("app.fleet", "app.scoring.types", "app.store.records", "app.store.store", "app.errors"),
    # an opinion of present and past
    "app.insight": (
        "app.fleet.snapshot", "app.fleet.usage", "app.scoring", "app.store.records", "app.store.usage", "app.catalog",
        "node.wire",
    ),
    # the present
    "app.fleet": (
        "app.scoring", "app.settings.schema", "app.store.records", "app.store.store", "app.catalog", "app.errors",
        "node.wire",
    ),
    # judgement, what was chosen, the past
    "app.scoring": ("node.wire",),
    "app.settings": ("app.store.records", "app.store.store", "app.errors"),
    "app.store": (),
    # ground
    "app.catalog": ("node.wire",),
    "app.dialects": ("app.errors",),
    "app.asgi": ("app.errors",),
    "app.errors": (),
    "node.wire": (),
    "node.log": ("node.log_file",),
    "node.log_file": (),
    "node.version": (),
    # the node stands alone
    "node": ("node",),
    "node.engines": ("node.wire", "node.machine"),
    "node.machine": ("node.wire",),
    "node.capacity": ("node.wire", "node.machine", "node.kept"),
}  # fmt: skip
"""Who may import whom, besides itself. The longest row that fits a file is its row."""

ADDRESSES = {
    "litestar": (
        "app.main", "app.lifespan", "app.api.*", "app.modalities.base", "app.modalities.http",
        "app.modalities.*.controller", "app.web.assets", "app.web.doors", "app.dev.engine",
        "app.web.live", "app.web.pages", "app.web.view", "app.modalities.incoming",
    ),
    "jinja2": ("app.web.live", "app.web.view"),
    "uvicorn": ("app.serve", "app.reception", "app.dev.nodes", "node.door"),
    "uvloop": ("app.serve", "node.start"),
    "httptools": ("app.fleet.upstream",),
    "httpx": (
        "app.ask", "app.demo", "app.dev", "app.fleet.node_client", "app.processes", "node.agent", "node.door",
        "node.engines", "node.link", "node.start",
    ),
    "zeroconf": ("app.fleet.advertise", "node.discovery"),
    "sqlalchemy": ("app.store",),
    "advanced_alchemy": ("app.store",),
    "alembic": ("app.store",),
    "psutil": ("node.machine",),
    "pynvml": ("node.machine.gpu",),
    "structlog": (
        "app.start", "app.lifespan", "app.api.errors", "app.bench.runner", "app.fleet.advertise", "app.fleet.arrivals",
        "app.fleet.dispatcher", "app.fleet.intake", "app.fleet.ledger", "app.fleet.loops", "app.fleet.pulls",
        "app.fleet.policies", "app.settings.book", "app.store.writer", "app.web.live", "node.agent",
        "node.capacity.owner", "node.discovery", "node.door", "node.engines.image_engine",
        "node.engines.image_run", "node.log", "node.machine.probes", "node.pulse",
    ),
    "cyclopts": ("app.cli", "app.ask", "app.demo", "app.dev.command", "node.cli"),
    "msgspec": ("app", "node"),
    "multipart": ("app.modalities.form", "node.engines.speech"),
    "backports": ("app.modalities.encoding",),
    "compression": ("app.modalities.encoding",),
    "xllamacpp": ("node.engines.llama_child",),
    "faster_whisper": ("node.engines.whisper_model",),
    "ctranslate2": ("node.engines.whisper_model",),
    "av": ("node.engines.whisper_model",),
    "numpy": ("node.engines.whisper_model",),
}  # fmt: skip
"""Where each third-party package lives."""

PURE = (
    "app.scoring", "app.catalog", "app.dialects", "app.errors", "app.tell", "app.banner", "app.api.trust",
    "app.api.facts", "app.bench.exercise", "app.bench.measure", "app.bench.plan", "app.fleet.address",
    "app.fleet.admission", "app.fleet.decisions", "app.fleet.job", "app.fleet.judge", "app.fleet.latency",
    "app.fleet.queue", "app.fleet.registry", "app.fleet.snapshot", "app.fleet.view",
    "app.fleet.placement", "app.fleet.pull",
    "app.fleet.watch", "app.insight", "app.modalities.*.adapter", "app.modalities.*.body", "app.modalities.*.context",
    "app.modalities.*.dialects", "app.modalities.*.schema", "app.modalities.*.translate_*", "app.modalities.body",
    "app.modalities.caller", "app.modalities.tags",
    "app.settings.ranges", "app.settings.resolve", "app.settings.schema", "app.settings.weights", "app.store.records",
    "app.insight", "app.web.chart", "app.web.delta", "app.web.nodes", "app.web.overview", "app.web.ranges",
    "app.web.requests", "node.engines.addresses",
    "node.engines.openai_models", "node.engines.reading", "node.wire",
)  # fmt: skip
"""Rooms that neither wait, nor log, nor read a clock or a disk; so is every file whose docstring says "Pure"."""

HANDS = {
    "advanced_alchemy", "asyncio", "httptools", "httpx", "litestar", "os", "psutil", "secrets", "shutil", "socket",
    "sqlalchemy", "structlog", "subprocess", "tempfile", "threading", "time", "uvicorn", "zeroconf",
}  # fmt: skip
"""What a pure room does not take into its hands."""

LATE = {
    ("app.cli", "import_module"): "help must not load the server",
    ("node.cli", "import_module"): "help must not load the node",
    ("app.modalities.plugin", "import_module"): "modalities are found by folder",
    ("app.modalities.sections", "import_module"): "their settings are found by folder",
    ("app.demo", "node.engines.gguf"): "only one of the demo's ways needs it",
    ("app.modalities.encoding", "compression"): "part of Python from 3.14 on",
    ("app.modalities.encoding", "backports"): "stands in for it before 3.14",
    ("node.machine.activity_windows", "import_module"): "only there on Windows, and nothing else is",
    ("app.serve", "uvloop"): "not there on Windows",
    ("node.start", "uvloop"): "not there on Windows",
    ("node.machine.chip", "winreg"): "only there on Windows",
    ("node.machine.gpu", "pynvml"): "not there on macOS, and a tenth of a second of work for machines without a card",
    ("node.install", "pwd"): "not there on Windows",
    ("node.state", "fcntl"): "not there on Windows",
    ("node.state", "msvcrt"): "only there on Windows",
    ("node.engines.llama_child", "xllamacpp"): "an optional extra, loaded after the watch over the parent has begun",
    ("node.engines.whisper_child", "node.engines.whisper_model"): "loads an optional extra, after that watch has begun",
}
"""Imports that cannot stand at the top of their file, each with its reason."""

SWALLOWS = {
    "app.bench.runner:_one", "app.fleet.loops:every", "app.fleet.pulls:_run", "app.store.writer:_write_next",
    "app.web.live:run",
    "node.agent:_look", "node.agent:_report", "node.capacity.owner:_every", "node.machine.probes:_answer",
    "node.log:_line", "node.log:emit",
}  # fmt: skip
"""The tops of loops and threads, where any fault is logged and the next round goes on; and the log, which may not break
anybody."""

PRINTS = {
    "app.cli",
    "app.ask",
    "app.check",
    "app.demo",
    "app.dev.command",
    "app.serve",
    "node.cli",
    "node.install",
    "node.standing",
    "node.start",
    "node.wishes",
}
"""Who speaks to a person at a terminal."""

WORDLESS = {"base_classes", "common", "core", "helper", "helpers", "lib", "manager", "managers", "misc", "shared",
            "stuff", "tools", "util", "utils"}  # fmt: skip
"""File names that say nothing."""


MODALITIES = {entry.parent.name for entry in (ROOT / "app" / "modalities").glob("*/manifest.py")}
NAMES_ONE = ("app.modalities.*.*", "node.engines", "node.wire", "app.catalog", "app.insight.recommend")
"""A modality's own folder; engines, which say what a model does; the wire's default; a category of the same word."""

LAWS: dict[str, Callable[[list[Source]], Iterator[str]]] = {
    "imports go down only": lambda tree: rules.climbing(tree, LAW),
    "imports run in no circle": rules.circling,
    "a modality never imports another": lambda tree: rules.crossing(tree, "app.modalities"),
    "every package has an address": lambda tree: rules.homeless(tree, ADDRESSES),
    "pure rooms stay pure": lambda tree: rules.acting(tree, PURE, HANDS),
    "each task is in a task group": rules.untethered,
    "no module has state": rules.remembering,
    "imports stand at the top": lambda tree: rules.late(tree, LATE),
    "a lease is closed in one place": lambda tree: rules.calling(
        [source for source in tree if source.path.startswith("app/")], "release", {"app.fleet.dispatcher:_close_lease"},
        "a slot is given back in one place: close the lease through Dispatcher._close_lease",
    ),
    "only commands print": lambda tree: rules.calling(
        tree, "print", PRINTS, "only a command speaks to the terminal: log an event, or return the text to the command"
    ),
    "a fault is caught by its name": lambda tree: rules.swallowing(tree, SWALLOWS),
    "nobody names a modality": lambda tree: rules.naming(tree, MODALITIES, NAMES_ONE),
    "every file says what lives there": rules.undescribed,
    "no file is two files": lambda tree: rules.oversized(tree, 400),
    "names say something": lambda tree: rules.misnamed(tree, WORDLESS),
}  # fmt: skip

TREE = rules.sources("app", "node")


@pytest.mark.parametrize("law", LAWS)
def test_the_house_keeps_the_law_that(law: str) -> None:
    breaches = list(LAWS[law](TREE))
    assert not breaches, f"{law}:\n" + "\n".join(breaches)


@pytest.mark.parametrize("law", ["no file is two files", "names say something"])
def test_the_tests_keep_the_law_that(law: str) -> None:
    assert not list(LAWS[law](rules.sources("tests")))


def test_nothing_that_installs_says_from_where() -> None:
    assert not list(rules.pointing_out(rules.texts()))


def test_every_row_of_the_tables_is_for_something_that_is_there() -> None:
    known = rules.modules(TREE)
    places = [*LAW, *(place for row in LAW.values() for place in row), *PRINTS, *(module for module, _ in LATE)]
    places += [place for homes in ADDRESSES.values() for place in homes]
    places += PURE
    assert not [place for place in places if not any(rules.within(module, (place,)) for module in known)]


QUEUE = ("app/fleet/queue.py", "LINE = {}\n")


@pytest.mark.parametrize(
    ("law", "breach", "files"),
    [
        ("imports go down only", "app.scoring may not import app.fleet.queue",
         [QUEUE, ("app/scoring/a.py", "from app.fleet.queue import LINE")]),
        ("imports go down only", "app.scoring may not import app.fleet.queue",
         [QUEUE, ("app/scoring/a.py", "def f():\n    from app.fleet import queue")]),
        ("imports go down only", "node may not import app.errors", [("node/a.py", "import app.errors")]),
        ("imports go down only", "app.web may not import app.api.trust",
         [("app/web/a.py", "from app.api.trust import Admin")]),
        ("imports go down only", "app.fleet may not import app.store.queries",
         [("app/fleet/a.py", "import app.store.queries")]),
        ("imports go down only", "a relative import", [("app/fleet/a.py", "from .queue import Queue")]),
        ("imports go down only", "no row of LAW", [("lib/a.py", "")]),
        ("imports run in no circle", "app.a -> app.b -> app.a",
         [("app/a.py", "import app.b"), ("app/b.py", "from app import a")]),
        ("a modality never imports another", "stt may not import app.modalities.llm.body",
         [("app/modalities/llm/body.py", ""), ("app/modalities/stt/a.py", "from app.modalities.llm import body")]),
        ("every package has an address", "httpx lives only in", [("app/fleet/queue.py", "import httpx")]),
        ("every package has an address", "requests has no address", [("app/ask.py", "import requests")]),
        ("pure rooms stay pure", "imports time", [("app/fleet/queue.py", "from time import monotonic")]),
        ("pure rooms stay pure", "waits for nothing", [("app/scoring/a.py", "async def f():\n    pass")]),
        ("pure rooms stay pure", "reads no clock", [("app/tell.py", "def f():\n    datetime.now()")]),
        ("pure rooms stay pure", "reads no disk", [("app/serve.py", '"""Pure."""\nopen("x")')]),
        ("each task is in a task group", "outside a TaskGroup", [("app/a.py", "asyncio.create_task(f())")]),
        ("each task is in a task group", "outside a TaskGroup", [("app/a.py", "self._tasks.create_task(f())")]),
        ("each task is in a task group", "outside a TaskGroup", [("app/a.py", "asyncio.ensure_future(f())")]),
        ("no module has state", "known is state", [("app/a.py", "known = {}")]),
        ("no module has state", "seen is state", [("app/a.py", "seen: set[str] = set()")]),
        ("no module has state", "`global` is state", [("app/a.py", "def f():\n    global x")]),
        ("no module has state", "LINE is a constant and is changed",
         [QUEUE, ("app/a.py", "from app.fleet.queue import LINE\nLINE['a'] = 1")]),
        ("no module has state", "LINE is a constant and is changed", [("app/a.py", "LINE = []\nLINE.append(1)")]),
        ("no module has state", "LINE is a constant and is changed", [("app/a.py", "LINE = []\nLINE += [1]")]),
        ("imports stand at the top", "json is imported late", [("app/a.py", "def f():\n    import json")]),
        ("imports stand at the top", "import_module is imported late", [("app/a.py", "import_module('json')")]),
        ("a lease is closed in one place", "through Dispatcher._close_lease",
         [("app/fleet/dispatcher.py", "def f():\n    queue.release(lease)")]),
        ("only commands print", "log an event", [("app/fleet/a.py", "print(1)")]),
        ("a fault is caught by its name", "catch what can happen by its name",
         [("app/fleet/a.py", "try:\n    f()\nexcept Exception:\n    pass")]),
        ("a fault is caught by its name", "catch what can happen by its name",
         [("app/fleet/a.py", "try:\n    f()\nexcept:\n    pass")]),
        ("nobody names a modality", "data on the modality's manifest", [("app/api/a.py", 'kind == "llm"')]),
        ("every file says what lives there", "__init__.py is empty", [("app/x/__init__.py", "from a import b")]),
        ("every file says what lives there", "what it must not know", [("app/a.py", '"""Some things."""')]),
        ("no file is two files", "401 lines", [("app/a.py", "x = 1\n" * 401)]),
        ("names say something", "'utils' says nothing", [("app/utils/a.py", "")]),
    ],
)  # fmt: skip
def test_a_source_that_breaks_a_law_is_told_so(law: str, breach: str, files: list[tuple[str, str]]) -> None:
    [line] = LAWS[law]([Source(path, text) for path, text in files])
    assert breach in line
    assert ": " in line, "it says where, and what to do"


GROUP = """
async def f():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(f())
"""
GIVEN = """
def __init__(self, tasks: asyncio.TaskGroup):
    self._tasks = tasks
def start(self):
    self._tasks.create_task(f())
"""


@pytest.mark.parametrize(
    ("law", "files"),
    [
        ("each task is in a task group", [("app/a.py", GROUP)]),
        ("each task is in a task group", [("app/a.py", GIVEN)]),
        ("a lease is closed in one place", [("app/fleet/dispatcher.py", "def _close_lease(q):\n    q.release(1)")]),
        ("a lease is closed in one place", [("node/a.py", "claim.release()")]),
        ("a fault is caught by its name", [("app/a.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise")]),
        ("no module has state", [("app/a.py", "LINE = {}\ndef f(line):\n    line['a'] = LINE['a']")]),
        ("a modality never imports another",
         [("app/modalities/http.py", ""), ("app/modalities/llm/a.py", "import app.modalities.http")]),
        ("nobody names a modality", [("app/modalities/llm/manifest.py", 'name = "llm"')]),
    ],
)  # fmt: skip
def test_a_source_that_keeps_a_law_is_let_be(law: str, files: list[tuple[str, str]]) -> None:
    assert list(LAWS[law]([Source(path, text) for path, text in files])) == []


@pytest.mark.parametrize("path", ["constraints.txt", ".ci/run", "poetry.lock", "app/web/static/vendor/vendor.toml"])
@pytest.mark.parametrize(
    "text", ["a @ https://packages.example/a.whl", "pip install --index-url x", "b @ git+ssh://x/b"]
)
def test_an_install_from_a_named_place_is_told(path: str, text: str) -> None:
    [line] = rules.pointing_out([(path, "first\n" + text)])
    assert line.startswith(f"{path}:2: ")


def test_a_page_may_link_and_a_package_may_be_named() -> None:
    assert not list(rules.pointing_out([("README.md", "https://packages.example"), ("constraints.txt", "index==1.0")]))
