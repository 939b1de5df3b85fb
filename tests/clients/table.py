"""The clients, and the table of docs/clients.md that says what came of them. Starts nothing, installs nothing."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- begin clients -->\n", "<!-- end clients -->\n"
ABSENT = "not to be had here"
ENGINES = ("llama.cpp", "Ollama")
HEAD = "| client | version | what was done | over llama.cpp | over Ollama |\n| --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Client:
    """One program and what it needs: packages of Python or npm, the first of which is the client; none: Ollama's own.

    ``over`` are the engines for which it is meaningful.
    """

    name: str
    program: str
    python: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    over: tuple[str, ...] = ENGINES

    @property
    def key(self) -> str:
        """Its name for the command line and for its folder."""
        return self.program.partition(".")[0]

    @property
    def source(self) -> Path:
        return PROGRAMS / self.program

    @property
    def steps(self) -> list[str]:
        """What its program does, in order."""
        text = self.source.read_text("utf-8")
        if self.program.endswith(".mjs"):
            return [words(name) for name in re.findall(r"^  async (\w+)\(", text, re.MULTILINE)]
        last = ast.parse(text).body[-1]
        assert isinstance(last, ast.Expr)
        assert isinstance(last.value, ast.Call)
        return [words(argument.id) for argument in last.value.args if isinstance(argument, ast.Name)]


CLIENTS = (
    Client("openai (Python)", "openai_client.py", python=("openai",)),
    Client("anthropic (Python)", "anthropic_client.py", python=("anthropic",)),
    Client("ollama (Python)", "ollama_client.py", python=("ollama",)),
    Client("litellm", "litellm_client.py", python=("litellm",)),
    Client("langchain-openai", "langchain_openai_client.py", python=("langchain-openai",)),
    Client("langchain-ollama", "langchain_ollama_client.py", python=("langchain-ollama",)),
    Client("llama-index-llms-ollama", "llama_index_client.py", python=("llama-index-llms-ollama",)),
    Client("ollama (npm)", "ollama_npm.mjs", npm=("ollama",)),
    Client("ai with ollama-ai-provider-v2", "ai_ollama.mjs", npm=("ai", "ollama-ai-provider-v2", "zod")),
    Client("ai with @ai-sdk/openai-compatible", "ai_openai_compatible.mjs",
           npm=("ai", "@ai-sdk/openai-compatible", "zod")),
    Client("Claude Code, in print mode", "claude_code.py", npm=("@anthropic-ai/claude-code",)),
    Client("Codex", "codex_cli.py", npm=("@openai/codex",)),
    Client("ollama (command line)", "ollama_cli.py"),
    Client("ollama (command line): models", "ollama_cli_models.py", over=("Ollama",)),
)  # fmt: skip


@dataclass
class Row:
    """What came of a client, by engine; an engine that is not named was not to be had."""

    client: Client
    version: str = "?"
    results: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        done = ", ".join(self.client.steps)
        over = [self.results.get(engine, ABSENT) for engine in ENGINES]
        return f"| {' | '.join([f'`{self.client.program}`: {self.client.name}', self.version, done, *over])} |\n"


def result(steps: Iterable[str], told: dict[str, str | None], ending: str) -> str:
    """The words for what a program told of its steps; ``ending`` says why it did not come to all of them."""
    failed = {step: told.get(step, ending) for step in steps}
    why = [f"{step}: {plain(said)}" for step, said in failed.items() if said is not None]
    return "passed" if not why else "failed: " + "; ".join(dict.fromkeys(why))


def words(name: str) -> str:
    """A step as the table says it: ``chat_stream``, ``chatStream`` and ``chat_stream_`` are one."""
    return re.sub(r"[A-Z]", lambda found: " " + found[0].lower(), name).strip("_").replace("_", " ")


def plain(text: str) -> str:
    """A reason that fits into a cell, and does not change with ports and folders."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", " ".join(text.split()))
    text = re.sub(r"(/[\w.+-]+){3,}", lambda found: "…/" + found[0].rpartition("/")[2], text)
    return text.replace("|", "/").replace("<", "(").replace(">", ")")[:240]


def block(made: str, rows: Iterable[Row]) -> str:
    """What stands between the page's marks. ``made`` says with what."""
    return f"{BEGIN}\n{made}\n\n{HEAD}{''.join(map(str, rows))}\n{END}"


def generated(page: str) -> str:
    """What stands there now, with its marks."""
    return BEGIN + page.partition(BEGIN)[2].partition(END)[0] + END


def parsed(page: str) -> tuple[str, list[Row]]:
    """What was made, and the rows of the clients that there are, as the page says them."""
    made, _, table = generated(page).removeprefix(BEGIN).strip("\n").partition("\n\n")
    by_program = {client.program: client for client in CLIENTS}
    rows = []
    for line in table.splitlines():
        if found := re.match(r"\| `([\w.]+)`", line):
            _, version, _, *results = (cell.strip() for cell in line.strip("|").split(" | "))
            told = {engine: said for engine, said in zip(ENGINES, results, strict=True) if said != ABSENT}
            rows.append(Row(by_program[found[1]], version, told))
    return made, rows


def with_block(page: str, text: str) -> str:
    return page.replace(generated(page), text)


def updated(page: str, made: str, rows: Iterable[Row]) -> str:
    """The page with these results among its others; as it was, if those were made with other things."""
    before, there = parsed(page)
    if before != made:
        print(f"docs/clients.md is left as it is, for it was made with other things. Now: {made}")
        return page
    new = {row.client: row for row in rows}
    for row in there:
        if row.client in new:
            row.version, row.results = new[row.client].version, row.results | new[row.client].results
    return with_block(page, block(made, there))
