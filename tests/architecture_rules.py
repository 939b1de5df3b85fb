"""How the laws of the house are checked: each rule reads sources and names its breaches. Knows no law by heart.

A breach is one line: where, what, and what to do about it. The laws themselves are tables in ``test_architecture.py``.
"""

import ast
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("app", "node")
MADE = (".", "__pycache__", "build", "dist")
MUTATORS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault",
    "sort", "update",
}  # fmt: skip
MUTABLE_CALLS = {"list", "dict", "set", "deque", "defaultdict", "Counter", "OrderedDict", "bytearray"}


@dataclass(frozen=True)
class Arrow:
    """One import: of ``target``, which is a module of ours or a package; ``late``: it stands inside a function."""

    line: int
    target: str
    late: bool


@dataclass(frozen=True)
class Source:
    """A Python file. ``path`` is below the root, with slashes."""

    path: str
    text: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def at(self, node: ast.AST | int, what: str) -> str:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.path}:{line}: {what}"

    def arrows(self, modules: Collection[str]) -> list[Arrow]:
        """All imports, wherever they stand. ``from app import catalog`` is an arrow to ``app.catalog``."""
        top = set(self.tree.body)
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [Arrow(node.lineno, alias.name, node not in top) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                inner = [f"{base}.{alias.name}" for alias in node.names]
                found += [Arrow(node.lineno, name if name in modules else base, node not in top) for name in inner]
        return sorted(set(found), key=lambda arrow: (arrow.line, arrow.target))


def sources(*folders: str) -> list[Source]:
    """Every Python file of the tree."""
    return [
        Source(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]


def modules(tree: Iterable[Source]) -> set[str]:
    return {source.module for source in tree}


def within(module: str, places: Iterable[str]) -> bool:
    """Whether a module is one of these, or lies in one of these folders; a ``*`` in a place stands for anything."""
    return any(module == place or module.startswith(place + ".") or fnmatch(module, place) for place in places)


def climbing(tree: list[Source], law: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Arrows that the law does not know. The longest row that fits a module is its row; a room may import itself."""
    known = modules(tree)
    for source in tree:
        row = max((key for key in law if within(source.module, (key,))), key=len, default=None)
        if row is None:
            yield source.at(1, f"no row of LAW is for {source.module}: say there what it may import")
            continue
        for arrow in source.arrows(known):
            if arrow.target.startswith("."):
                yield source.at(arrow.line, "a relative import: name the whole path")
            elif arrow.target.split(".")[0] in OURS and not within(arrow.target, (row, *law[row])):
                yield source.at(
                    arrow.line,
                    f"{row} may not import {arrow.target}: move the thing to a room below both, "
                    "or hand it over where the rooms are joined (app/main.py)",
                )


def circling(tree: list[Source]) -> Iterator[str]:
    """Circles of imports, each told once."""
    known = modules(tree)
    graph = {source.module: {arrow.target for arrow in source.arrows(known)} & known for source in tree}
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> Iterator[str]:
        if module in way:
            circle = [*way[way.index(module) :], module]
            yield f"a circle of imports, {' -> '.join(circle)}: move what both need into a file below them"
        elif module not in done:
            for target in sorted(graph[module]):
                yield from walk(target, [*way, module])
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, [])


def crossing(tree: list[Source], folder: str) -> Iterator[str]:
    """Sub-folders of this folder that import each other."""
    known = modules(tree)
    rooms = {m.split(".")[folder.count(".") + 1] for m in known if m.startswith(folder + ".")}
    rooms = {room for room in rooms if any(m.startswith(f"{folder}.{room}.") for m in known)}
    for source in tree:
        own = next((room for room in rooms if within(source.module, (f"{folder}.{room}",))), None)
        if own is None:
            continue
        for arrow in source.arrows(known):
            if any(within(arrow.target, (f"{folder}.{room}",)) for room in rooms - {own}):
                yield source.at(
                    arrow.line, f"{own} may not import {arrow.target}: what both need belongs into {folder}"
                )


def homeless(tree: list[Source], addresses: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Third-party packages away from their address."""
    known = modules(tree)
    for source in tree:
        for arrow in source.arrows(known):
            package = arrow.target.split(".")[0]
            if not package or package in OURS or package in sys.stdlib_module_names:
                continue
            if package not in addresses:
                yield source.at(
                    arrow.line, f"{package} has no address: give it one in ADDRESSES and a line in docs/decisions"
                )
            elif not within(source.module, addresses[package]):
                yield source.at(
                    arrow.line, f"{package} lives only in {', '.join(addresses[package])}: ask one of those instead"
                )


def acting(tree: list[Source], pure: Iterable[str], hands: Collection[str]) -> Iterator[str]:
    """Pure rooms that act after all. A docstring that says "Pure" makes its file one."""
    known, pure = modules(tree), tuple(pure)
    for source in tree:
        promises = re.search(r"\bPure\b", (ast.get_docstring(source.tree) or "").partition("\n\n")[0])
        if not (promises or within(source.module, pure)):
            continue
        for arrow in source.arrows(known):
            if arrow.target.split(".")[0] in hands:
                yield source.at(arrow.line, f"a pure room imports {arrow.target}: let its caller do that and tell it")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef):
                yield source.at(node, "a pure room waits for nothing: take what was waited for as a parameter")
            if isinstance(node, ast.Call) and _name(node.func) in ("now", "utcnow", "today"):
                yield source.at(node, "a pure room reads no clock: take `now` as a parameter")
            if isinstance(node, ast.Call) and _name(node.func) in ("open", "read_text", "read_bytes", "write_text"):
                yield source.at(node, "a pure room reads no disk: take the text as a parameter")


def untethered(tree: list[Source]) -> Iterator[str]:
    """Tasks that no TaskGroup holds."""
    for source in tree:
        groups = _task_groups(source.tree)
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or _name(node.func) not in ("create_task", "ensure_future"):
                continue
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if _name(node.func) == "ensure_future" or owner not in groups:
                yield source.at(node, "a task outside a TaskGroup: start it in one, so that somebody waits for its end")


def _task_groups(tree: ast.Module) -> set[str]:
    """Names that hold a TaskGroup: of an ``async with``, of an annotated parameter, of an attribute set from one."""
    held = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and _name(call.func) == "TaskGroup" and item.optional_vars is not None:
                    held.add(ast.unparse(item.optional_vars))
        if isinstance(node, ast.arg) and node.annotation is not None and _name(node.annotation) == "TaskGroup":
            held.add(node.arg)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in held:
            held |= {ast.unparse(target) for target in node.targets if isinstance(target, ast.Attribute)}
    return held


def remembering(tree: list[Source]) -> Iterator[str]:
    """State at module level: a mutable thing that is no constant by its name, or is changed anywhere in the tree."""
    constants: dict[str, set[str]] = {}
    for source in tree:
        for node in source.tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None or not _mutable(node.value):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                name = ast.unparse(target)
                constants.setdefault(name, set()).add(source.module)
                if not re.fullmatch(r"_?[A-Z][A-Z0-9_]*|__all__", name):
                    yield source.at(node, f"{name} is state at module level: give it to the object whose state it is")
    for source in tree:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Global):
                yield source.at(node, "`global` is state at module level: give it to the object whose state it is")
            name = _changed(node)
            if name in constants and (source.module in constants[name] or _imports(source, name)):
                yield source.at(node, f"{name} is a constant and is changed here: build a new value instead")


def _mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _name(value.func) in MUTABLE_CALLS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _changed(node: ast.AST) -> str:
    """The name whose content this statement or call changes; empty if none."""
    target: ast.AST | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return _name(node.func.value)
    if isinstance(node, ast.Assign | ast.Delete):
        target = next((target for target in node.targets if isinstance(target, ast.Subscript)), None)
    elif isinstance(node, ast.AugAssign):
        target = node.target
    if target is None:
        return ""
    return _name(target.value if isinstance(target, ast.Subscript) else target)


def _imports(source: Source, name: str) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names)
        for node in ast.walk(source.tree)
    )


def late(tree: list[Source], allowed: Collection[tuple[str, str]]) -> Iterator[str]:
    """Imports inside functions, and modules loaded by name."""
    known = modules(tree)
    for source in tree:
        found = [(arrow.line, arrow.target) for arrow in source.arrows(known) if arrow.late]
        found += [
            (node.lineno, "import_module")
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__")
        ]
        for line, target in found:
            if (source.module, target) not in allowed:
                yield source.at(
                    line, f"{target} is imported late: put it to the top, or say in LATE why it cannot stand there"
                )


def swallowing(tree: list[Source], owners: Collection[str]) -> Iterator[str]:
    """Handlers of every fault there is that do not raise it again, outside the functions that may."""
    for source in tree:
        inside = _inside(source, owners)
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler) or node in inside:
                continue
            everything = node.type is None or _name(node.type) in ("Exception", "BaseException")
            if everything and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield source.at(node, "catch what can happen by its name: a fault of ours must be seen")


def _inside(source: Source, owners: Collection[str]) -> set[ast.AST]:
    """Everything within the functions of this source that are owners (``module:function``)."""
    return {
        inner
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and f"{source.module}:{function.name}" in owners
        for inner in ast.walk(function)
    }


def calling(tree: list[Source], name: str, owners: Collection[str], why: str) -> Iterator[str]:
    """Calls of ``name`` outside the modules and functions (``module:function``) that own it."""
    for source in tree:
        if source.module in owners:
            continue
        inside = _inside(source, owners)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and _name(node.func) == name and node not in inside:
                yield source.at(node, why)


def naming(tree: list[Source], words: Collection[str], homes: Collection[str]) -> Iterator[str]:
    """Strings that name a modality outside the places that may."""
    for source in tree:
        if within(source.module, homes):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and node.value in words:
                yield source.at(node, f"{node.value!r} names a modality: make it data on the modality's manifest")


def undescribed(tree: list[Source]) -> Iterator[str]:
    """Modules that do not say what lives there and what it must not know."""
    for source in tree:
        if source.path.endswith("/__init__.py"):
            if source.text:
                yield source.at(1, "an __init__.py is empty here: import from the file that defines the name")
            continue
        first = (ast.get_docstring(source.tree) or "").partition("\n\n")[0]
        if not re.search(r"\b[Kk]nows?\b", first):
            yield source.at(1, "say in the docstring's first sentences what lives here and what it must not know")


def oversized(tree: list[Source], most: int) -> Iterator[str]:
    for source in tree:
        lines = source.text.count("\n")
        if lines > most:
            yield source.at(most, f"{lines} lines: a file of more than {most} is two files")


def misnamed(tree: list[Source], stems: Collection[str]) -> Iterator[str]:
    for source in tree:
        for part in source.path.removesuffix(".py").split("/"):
            if part in stems:
                yield source.at(1, f"{part!r} says nothing: name the file after the thing it holds")


INSTALLS = re.compile(r"(?:^|/)(?:\.ci/\w+|Makefile|constraints\.txt|[\w.-]+\.(?:lock|ya?ml|toml))$")


def pointing_out(texts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Files by which something is installed and that say from where; each text comes with its path."""
    for path, text in texts:
        if INSTALLS.search(path):
            for found in re.finditer(r"\b(?:https?://|git\+)\S+|--?(?:extra-)?index(?:-url)?\b", text, re.IGNORECASE):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{path}:{line}: {found[0]} is a place: name the package only, its source is the user's"


def texts() -> list[tuple[str, str]]:
    """Every file of the tree that is text, with its path; folders that tools make are passed over."""
    found = []
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [name for name in inner if name == ".ci" or not name.startswith(MADE)]
        for file in (Path(folder, name) for name in files):
            with suppress(UnicodeDecodeError):
                found.append((file.relative_to(ROOT).as_posix(), file.read_text("utf-8")))
    return found


def _name(expression: ast.AST) -> str:
    """The last part of a name: ``create_task`` of ``asyncio.create_task``."""
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""
