"""The rules of the house, as functions from source text to a list of what breaks them.

Owns the layer map and the checks; `test_architecture` applies them to the package, and
to small bad sources to show that each check can fail. It must not import the package:
it reads the text.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["LAYERS", "PACKAGES", "Source", "Sources", "layer_of"]

LAYERS = {
    "threadsup._checks": 0,
    "threadsup._document": 0,
    "threadsup._errors": 0,
    "threadsup._exits": 0,
    "threadsup._imports": 0,
    "threadsup._policy": 0,
    "threadsup._policy.autoscale": 0,
    "threadsup._policy.backoff": 0,
    "threadsup._policy.batch": 0,
    "threadsup._policy.breaker": 0,
    "threadsup._policy.rate": 0,
    "threadsup._policy.retry": 0,
    "threadsup._policy.usable": 0,
    "threadsup._results": 0,
    "threadsup._trace": 0,
    "threadsup._runtime": 0,
    "threadsup._runtime.bundle": 0,
    "threadsup._runtime.clock": 0,
    "threadsup._runtime.context": 0,
    "threadsup._runtime.newest": 0,
    "threadsup._runtime.owed": 0,
    "threadsup._runtime.pause": 1,
    "threadsup._runtime.pykka_compat": 0,
    "threadsup._runtime.timers": 0,
    "threadsup._runtime.thread": 0,
    "threadsup._runtime.whose": 0,
    "threadsup.events": 1,
    "threadsup._mermaid": 1,
    "threadsup._policy.intensity": 1,
    "threadsup._policy.ledger": 0,
    "threadsup._policy.reorder": 1,
    "threadsup._policy.routing": 1,
    "threadsup._runtime.bound": 1,
    "threadsup._runtime.family": 1,
    "threadsup._runtime.future": 1,
    "threadsup._runtime.interrupt": 1,
    "threadsup._runtime.lanes": 1,
    "threadsup._runtime.limiter": 1,
    "threadsup._runtime.marks": 1,
    "threadsup._runtime.mailbox": 1,
    "threadsup._runtime.run": 1,
    "threadsup._runtime.closing": 1,
    "threadsup._runtime.process": 1,
    "threadsup._runtime.side": 1,
    "threadsup._runtime.ticket": 1,
    "threadsup._runtime.timings": 1,
    "threadsup._runtime.waitable": 1,
    "threadsup._runtime.watch": 1,
    "threadsup._config": 2,
    "threadsup._dead_letters": 2,
    "threadsup._policy.book": 2,
    "threadsup._policy.protocol": 2,
    "threadsup._policy.restart": 2,
    "threadsup._runtime.actor": 2,
    "threadsup._runtime.aside": 2,
    "threadsup._runtime.inlet": 2,
    "threadsup._runtime.ending": 2,
    "threadsup._runtime.replicas": 2,
    "threadsup._runtime.taking": 2,
    "threadsup._runtime.express": 3,
    "threadsup._runtime.failing": 3,
    "threadsup._runtime.ready": 3,
    "threadsup._runtime.serving": 3,
    "threadsup._runtime.ticking": 2,
    "threadsup._runtime.threading_actor": 2,
    "threadsup._snapshot": 2,
    "threadsup._policy.endings": 3,
    "threadsup._policy.errands": 3,
    "threadsup._policy.plan": 3,
    "threadsup._policy.scope": 3,
    "threadsup._policy.turn": 3,
    "threadsup._runtime.outlet": 3,
    "threadsup._runtime.batching": 3,
    "threadsup._runtime.emission": 3,
    "threadsup._runtime.genserver": 3,
    "threadsup._runtime.emitting": 3,
    "threadsup._runtime.sampling": 3,
    "threadsup._runtime.stage": 3,
    "threadsup._runtime.proxy": 3,
    "threadsup._runtime.pykka_worker": 3,
    "threadsup._runtime.ref": 3,
    "threadsup._runtime.worker": 3,
    "threadsup._build": 4,
    "threadsup._cell": 4,
    "threadsup._group": 4,
    "threadsup._links": 4,
    "threadsup._ruled": 4,
    "threadsup._scope": 4,
    "threadsup._services": 4,
    "threadsup._tools": 4,
    "threadsup.pool": 6,
    "threadsup.genserver": 6,
    "threadsup.__main__": 7,
    "threadsup.pykka": 6,
    "threadsup": 7,
}
"""Modules with a number of their own."""

PACKAGES = {
    "threadsup._specs": 1,
    "threadsup._chain": 4,
    "threadsup._pool": 5,
    "threadsup._supervisor": 5,
    "threadsup.cli": 6,
    "threadsup.testing": 6,
}
"""Packages whose modules all stand on one floor."""

MEETING = 4
"""The lowest floor on which the two wings may be used together."""

WINGS = ("threadsup._policy", "threadsup._runtime")

IMPURE = frozenset({"logging", "pykka", "queue", "random", "threading", "time"})
"""What a decision must not know."""

PYKKA_HOME = (
    "threadsup._errors",
    "threadsup._runtime",
    "threadsup._specs.targets",
    "threadsup.pykka",
)
"""Where Pykka may be imported; its private names only in the membrane."""

MEMBRANE = "threadsup._runtime.pykka_compat"

LONGEST_MODULE = 450
LONGEST_FUNCTION = 80
WRITTEN_OUT = {"threadsup._runtime.express.express"}
"""Longer on purpose: calls are what a message costs."""


def layer_of(module: str) -> int | None:
    """Return the floor of `module`, `None` where the map does not name it."""
    if module in LAYERS:
        return LAYERS[module]
    return next((n for package, n in PACKAGES.items() if within(module, package)), None)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@dataclass(frozen=True)
class Import:
    """One name that one line brings in."""

    line: int
    target: str
    typing_only: bool


@dataclass(frozen=True)
class Source:
    """One module as text."""

    module: str
    text: str
    package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def imports(self, known: Iterable[str]) -> list[Import]:
        """Return what the module imports; `from p import m` of a known module is `p.m`."""
        known = set(known)
        found = self._imports(self.tree, known, typing_only=False)
        return list(dict.fromkeys(found))  # one line may bring several names of one module

    def _imports(self, node: ast.AST, known: set[str], *, typing_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(child.lineno, alias.name, typing_only)
            elif isinstance(child, ast.ImportFrom):
                origin = self._absolute(child)
                for alias in child.names:
                    full = f"{origin}.{alias.name}"
                    yield Import(child.lineno, full if full in known else origin, typing_only)
            elif isinstance(child, ast.If) and _tests_type_checking(child.test):
                for statement in child.body:
                    block = ast.Module([statement], [])
                    yield from self._imports(block, known, typing_only=True)
                for statement in child.orelse:
                    block = ast.Module([statement], [])
                    yield from self._imports(block, known, typing_only=typing_only)
            else:
                yield from self._imports(child, known, typing_only=typing_only)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.module.split(".")
        parts = parts[: len(parts) - node.level + self.package]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def says(self, line: int, text: str) -> str:
        return f"{self.module}:{line}: {text}"


def _tests_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


@dataclass(frozen=True)
class Sources:
    """A package's modules by name; each method returns the lines that break one rule."""

    modules: Mapping[str, Source]

    @classmethod
    def of(cls, **texts: str) -> Sources:
        """Build from texts; `a__b` stands for the module `threadsup.a.b`."""
        sources = [
            Source(f"threadsup.{name.replace('__', '.')}", text) for name, text in texts.items()
        ]
        return cls({source.module: source for source in sources})

    @classmethod
    def read(cls, folder: Path) -> Sources:
        """Read every module below `folder`, the package's own."""
        sources = []
        for path in sorted(folder.rglob("*.py")):
            parts = [folder.name, *path.relative_to(folder).with_suffix("").parts]
            package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if package else parts)
            sources.append(Source(name, path.read_text(encoding="utf-8"), package))
        return cls({source.module: source for source in sources})

    def _internal(self) -> Iterator[tuple[Source, Import]]:
        for source in self.modules.values():
            for found in source.imports(self.modules):
                if within(found.target, "threadsup"):
                    yield source, found

    def unmapped(self) -> list[str]:
        """Every module has a floor."""
        return [name for name in self.modules if layer_of(name) is None]

    def upward_imports(self) -> list[str]:
        """An import points to a smaller number.

        Sideways go the modules of the ground floor, of the meeting floor and of one
        package or wing (without a cycle, see there), and any import for types only.
        """
        problems = []
        for source, found in self._internal():
            here, there = layer_of(source.module), layer_of(found.target)
            if here is None or there is None or there < here:
                continue
            if there == here and (found.typing_only or _neighbours(source.module, found.target)):
                continue
            text = f"floor {here} imports {found.target} of floor {there}"
            problems.append(source.says(found.line, text))
        return problems

    def cycles(self) -> list[str]:
        """No import at run time comes back to where it began."""
        edges: dict[str, set[str]] = {name: set() for name in self.modules}
        for source, found in self._internal():
            if not found.typing_only and found.target != source.module:
                edges[source.module].add(found.target)
        while leaves := {name for name, targets in edges.items() if not targets & edges.keys()}:
            for leaf in leaves:
                del edges[leaf]
        return [f"{name} is on a cycle, or above one" for name in edges]

    def wings_that_meet(self) -> list[str]:
        """The wings know nothing of each other and are used together only above."""
        problems = []
        for source in self.modules.values():
            here = layer_of(source.module)
            targets = {found.target for found in source.imports(self.modules)}
            used = {wing for wing in WINGS for t in (*targets, source.module) if within(t, wing)}
            if len(used) > 1 and (here is None or here < MEETING):
                problems.append(f"{source.module} brings {' and '.join(sorted(used))} together")
        return problems

    def impure_policy(self) -> list[str]:
        """A decision has no threads, no clock, no chance, no log and no Pykka."""
        return [
            source.says(found.line, f"a decision imports {found.target}")
            for source in self.modules.values()
            if within(source.module, "threadsup._policy")
            for found in source.imports(self.modules)
            if found.target.split(".")[0] in IMPURE
        ]

    def strayed_pykka(self) -> list[str]:
        """Pykka is imported in its home only."""
        return [
            source.says(found.line, f"imports {found.target}")
            for source in self.modules.values()
            if not any(within(source.module, home) for home in PYKKA_HOME)
            for found in source.imports(self.modules)
            if within(found.target, "pykka")
        ]

    def private_pykka(self, private: frozenset[str]) -> list[str]:
        """Pykka's `private` names are used in the membrane only.

        A name that a module of ours defines itself is taken for ours, unless the class
        that defines it extends one of Pykka's.
        """
        ours = {
            name
            for source in self.modules.values()
            if source.module != MEMBRANE
            for name in _defined(source.tree)
        }
        problems = []
        for source in self.modules.values():
            if source.module == MEMBRANE:
                continue
            for line, name in _private_uses(source.tree, private - ours, private):
                problems.append(source.says(line, f"uses Pykka's private {name}"))
        return problems

    def sleeps(self) -> list[str]:
        """Nothing waits by sleeping."""
        return [
            source.says(node.lineno, "sleeps")
            for source in self.modules.values()
            for node in ast.walk(source.tree)
            if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
            or (
                isinstance(node, ast.ImportFrom)
                and node.module == "time"
                and any(alias.name == "sleep" for alias in node.names)
            )
        ]

    def too_long(self) -> list[str]:
        """A module past 450 lines holds two things, a function past 80 does."""
        problems = []
        for source in self.modules.values():
            lines = source.text.count("\n")
            if lines > LONGEST_MODULE:
                problems.append(f"{source.module}: {lines} lines")
            for node in ast.walk(source.tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    written_out = f"{source.module}.{node.name}" in WRITTEN_OUT
                    if lines > LONGEST_FUNCTION and not written_out:
                        problems.append(source.says(node.lineno, f"{node.name}: {lines} lines"))
        return problems

    def undocumented(self) -> list[str]:
        """Every module says what it owns."""
        return [name for name, source in self.modules.items() if not ast.get_docstring(source.tree)]

    def unsorted_all(self) -> list[str]:
        """`__all__` is sorted: constants, classes, functions, each by name."""
        problems = []
        for source in self.modules.values():
            for node in source.tree.body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                    names = ast.literal_eval(node.value)
                    if list(names) != sorted(names, key=_rank):
                        problems.append(source.says(node.lineno, "__all__ is not sorted"))
        return problems

    def undescribed_tests(self) -> list[str]:
        """Every test says in a sentence what holds."""
        return [
            source.says(node.lineno, f"{node.name} has no docstring that is a sentence")
            for source in self.modules.values()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith("test_")
            and not (ast.get_docstring(node) or "").rstrip().endswith(".")
        ]


def _neighbours(one: str, other: str) -> bool:
    """Tell whether two modules on one floor may use each other."""
    if layer_of(one) in {0, MEETING}:
        return True
    homes = [*PACKAGES, *WINGS]
    return any(within(one, home) and within(other, home) for home in homes)


def _rank(name: str) -> tuple[int, str]:
    if name.isupper():
        return (0, name)
    return (1 if name[:1].isupper() else 2, name)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the attribute names the module's own classes and functions define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not _extends_pykka(node):
            for part in ast.walk(node):
                if isinstance(part, ast.FunctionDef):
                    yield part.name
                elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id
                elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                    yield part.attr


def _extends_pykka(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).startswith("pykka.") for base in node.bases)


def _private_uses(
    tree: ast.Module, theirs: frozenset[str], private: frozenset[str]
) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pykka":
            path = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from ((node.lineno, part) for part in path if part.startswith("_"))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == "pykka":
                    yield from ((node.lineno, part) for part in rest if part.startswith("_"))
        elif isinstance(node, ast.Attribute):
            of_module = ast.unparse(node.value) == "pykka" and node.attr.startswith("_")
            if of_module or node.attr in theirs:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and node.value in theirs:
            yield node.lineno, str(node.value)
        elif isinstance(node, ast.ClassDef) and _extends_pykka(node):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name in private:
                    yield part.lineno, part.name


def private_names(sources: Iterable[str]) -> frozenset[str]:
    """Return the private attributes that the classes in `sources` define."""
    names = {name for text in sources for name in _defined(ast.parse(text))}
    return frozenset(n for n in names if n.startswith("_") and not n.endswith("__"))
