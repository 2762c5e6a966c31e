"""A file, or a mapping of the same shape, to a `SupervisorSpec`: all or nothing.

Owns the shape of the file and the paths in its messages. What an option must be is
the specs' business: their rules are applied here to the file's tables, each line
with the path of its table before it. Which names may be imported is decided in
`threadsup._imports`. It must not start anything.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from threadsup._checks import check_all, ident, one_of, shown, under, unknown
from threadsup._errors import SpecError
from threadsup._imports import Names, allow_problems
from threadsup._policy.backoff import BACKOFF_RULES, Backoff
from threadsup._specs.chain import CHAIN_RULES, STAGE_RULES, ChainSpec, StageSpec, length_problem
from threadsup._specs.group import GROUP_RULES, GroupSpec
from threadsup._specs.naming import duplicates
from threadsup._specs.rules import SCOPE_RULES, misplaced
from threadsup._specs.supervisor import (
    DEFAULTS_RULES,
    SUPERVISOR_RULES,
    ChildSpec,
    Defaults,
    SupervisorSpec,
    significance_problem,
)
from threadsup._specs.targets import Handler, kind_of, kind_of_stage
from threadsup._specs.worker import WORKER_RULES, WorkerSpec, worker_defaults, worker_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import TypeGuard

    from threadsup._checks import Rule
    from threadsup._exits import ChildId

__all__ = ["load"]

T = TypeVar("T")
_Table: TypeAlias = Mapping[str, Any]

_LARGEST = 1024 * 1024

# A file says "task" or "handler"; what a class is shows in the class.
_FILE_KIND = one_of("task", "handler")
_STAGE_RULES = {name: rule for name, rule in STAGE_RULES.items() if name != "kind"}
_MEMBER_RULES = {name: rule for name, rule in WORKER_RULES.items() if name not in SCOPE_RULES}


def load(
    path_or_mapping: str | os.PathLike[str] | Mapping[str, Any], allow: Collection[str] = ()
) -> SupervisorSpec:
    """Read a tree from a TOML file, or from a mapping of the same shape.

    Imports the modules that the targets are in, and so blocks as long as that and
    reading the file take; starts nothing. A module that fails to import, whatever
    it raises but `KeyboardInterrupt`, is an error like any other.

    Args:
        path_or_mapping: The file, UTF-8 and at most 1 MiB; or what `tomllib` would
            make of one.
        allow: The packages that targets may come from, as whole names: `"myapp"`
            allows `myapp` and `myapp.jobs`, not `myapps`.

    Raises:
        SpecError: Something is wrong; every fault at once, each line with its path,
            as in `chain[0].stage[2].capacity: must be ...`.
    """
    problems = allow_problems(allow)
    try:
        document = _document(path_or_mapping)
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from error.__cause__
    # Where `allow` itself is wrong, a line for each target would say nothing new.
    reader = _Reader(problems, None if problems else Names(allow))
    children, options = reader.tree(document)
    if reader.problems:
        raise SpecError(reader.problems)
    return SupervisorSpec(children=children, **options)


# -- the file -------------------------------------------------------------------------


def _document(source: object) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, str | os.PathLike):
        raise SpecError(f"source: must be a path or a mapping, not {shown(source)}")
    path = os.fsdecode(source)
    data = _content(path)
    if len(data) > _LARGEST:
        raise SpecError(f"{path}: must be of at most {_LARGEST} bytes")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: is nested too deeply") from error
    except ValueError as error:  # an int of too many digits is no TOMLDecodeError
        raise SpecError(f"{path}: is not TOML: {error}") from error


def _content(path: str) -> bytes:
    """Return the bytes of a file, or one more than may be."""
    try:
        # Looked at first: to open a pipe is to wait for whoever writes into it.
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path of a wrong str raises elsewhere
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                return file.read(_LARGEST + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a null character in the path
        raise SpecError(f"{path!r}: cannot be read: {error}") from error
    what = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
    raise SpecError(f"{path}: {what}")


# -- its tables -----------------------------------------------------------------------


class _Reader:
    """Turns tables into specs and collects what is wrong with them.

    What cannot be made is `None` and has a line in `problems`; the rest is checked
    all the same.
    """

    def __init__(self, problems: list[str], names: Names | None) -> None:
        self.problems = problems
        self._names = names
        self._auto_shutdown: object = "never"

    def tree(self, document: _Table) -> tuple[tuple[ChildSpec, ...], dict[str, Any]]:
        """Return the children, in the order they start, and the supervisor's options."""
        self._known("", document, ("supervisor", "worker", "group", "chain"))
        options = self._supervisor(document.get("supervisor", {}))
        children: list[tuple[ChildSpec, int | None]] = []
        ids = []
        kinds: dict[str, Callable[[str, _Table], ChildSpec | None]]
        kinds = {"worker": self._standalone, "group": self._group, "chain": self._chain}
        for key, read in kinds.items():
            for path, table in self._tables("", document, key):
                ids.append((path, _id_of(table)))
                order = self._order(path, table)
                child = read(path, table)
                if child is not None:
                    children.append((child, order))
        self.problems += duplicates(ids)
        return _arranged(children), options

    def _supervisor(self, table: object) -> dict[str, Any]:
        path = "supervisor"
        if not self._is_table(table, path):
            return {}
        options = self._options(path, table, SUPERVISOR_RULES, "defaults")
        self._check(path, SUPERVISOR_RULES, options, needed="name")
        self._auto_shutdown = options.get("auto_shutdown", "never")
        if "defaults" in table:
            options |= self._defaults(f"{path}.defaults", table["defaults"])
        return options

    def _defaults(self, path: str, table: object) -> dict[str, Defaults]:
        start = len(self.problems)
        if not self._is_table(table, path):
            return {}
        options = self._options(path, table, DEFAULTS_RULES)
        self._check(path, DEFAULTS_RULES, options)
        return {"defaults": Defaults(**options)} if len(self.problems) == start else {}

    def _standalone(self, path: str, table: _Table) -> WorkerSpec | None:
        return self._worker(path, table, WORKER_RULES, "order")

    def _member(self, path: str, table: _Table) -> WorkerSpec | None:
        return self._worker(path, table, _MEMBER_RULES)

    def _worker(
        self, path: str, table: _Table, rules: Mapping[str, Rule], *more: str
    ) -> WorkerSpec | None:
        start = len(self.problems)
        options = self._options(path, table, rules, "target", *more)
        declared = options.pop("kind", "")
        if "kind" in table and (problem := _FILE_KIND(declared)):
            self._say(f"{path}.kind", problem)
            declared = ""
        for target in self._resolved(path, table, "target"):
            kind = kind_of(target)
            if declared and kind not in ("task", declared):
                self._say(f"{path}.kind", f"must be left out: the target is a {kind} by itself")
            kind = declared if kind == "task" and declared else kind
            run = target.target if isinstance(target, Handler) else target
            options = {**worker_defaults(kind), **options, "target": run, "kind": kind}
        self.problems += under(path, worker_problems(options, rules))
        self._significance(path, options)
        return WorkerSpec(**options) if self._fine_since(start) else None

    def _group(self, path: str, table: _Table) -> GroupSpec | None:
        start = len(self.problems)
        options = self._options(path, table, GROUP_RULES, "worker", "order")
        self._check(path, GROUP_RULES, options, needed="id")
        self._significance(path, options)
        members = self._each(path, table, "worker", self._member)
        return GroupSpec(members=members, **options) if self._fine_since(start) else None

    def _chain(self, path: str, table: _Table) -> ChainSpec | None:
        start = len(self.problems)
        options = self._options(path, table, CHAIN_RULES, "stage", "order")
        options.pop("on_result", None)
        if "on_result" in table:
            for function in self._resolved(path, table, "on_result"):
                options["on_result"] = function
        self._check(path, CHAIN_RULES, options, needed="id")
        self._significance(path, options)
        stages = self._each(path, table, "stage", self._stage)
        entries = table.get("stage", [])
        if _is_array(entries) and (problem := length_problem(len(entries))):
            self._say(f"{path}.stage", problem)
        return ChainSpec(stages=stages, **options) if self._fine_since(start) else None

    def _stage(self, path: str, table: _Table) -> StageSpec | None:
        start = len(self.problems)
        options = self._options(path, table, _STAGE_RULES, "target")
        for target in self._resolved(path, table, "target"):
            options |= {"target": target, "kind": kind_of_stage(target)}
        self.problems += under(path, worker_problems(options, STAGE_RULES))
        return StageSpec(**options) if self._fine_since(start) else None

    def _fine_since(self, start: int) -> bool:
        """Tell whether nothing was wrong since there were so many problems."""
        # Where `allow` is wrong, a target is absent and has no line of its own.
        return self._names is not None and len(self.problems) == start

    # -- parts of a table ---

    def _each(
        self, path: str, table: _Table, key: str, read: Callable[[str, _Table], T | None]
    ) -> tuple[T, ...]:
        """Read the tables under `key`, which share one id space."""
        found = list(self._tables(path, table, key))
        made = [read(place, entry) for place, entry in found]
        self.problems += duplicates((place, _id_of(entry)) for place, entry in found)
        return tuple(child for child in made if child is not None)

    def _tables(self, path: str, table: _Table, key: str) -> Iterator[tuple[str, _Table]]:
        place = _join(path, key)
        entries = table.get(key, [])
        if not _is_array(entries):
            header = re.sub(r"\[\d+\]", "", place)
            self._say(place, f"must be tables, each under [[{header}]], not {shown(entries)}")
            return
        for index, entry in enumerate(entries):
            if self._is_table(entry, f"{place}[{index}]"):
                yield f"{place}[{index}]", entry

    def _is_table(self, value: object, path: str) -> TypeGuard[_Table]:
        if isinstance(value, Mapping):
            return True
        self._say(path, f"must be a table, not {shown(value)}")
        return False

    def _options(
        self, path: str, table: _Table, rules: Mapping[str, Rule], *more: str
    ) -> dict[str, Any]:
        """Return what the table says about `rules`, in the form the specs take."""
        self._known(path, table, (*rules, *more))
        options = {name: table[name] for name in rules if name in table}
        if "id" in options:
            options["id"] = _id_from(options["id"])
        if "backoff" in options:
            options |= self._backoff(f"{path}.backoff", options.pop("backoff"))
        return options

    def _backoff(self, path: str, table: object) -> dict[str, Backoff]:
        start = len(self.problems)
        if not self._is_table(table, path):
            return {}
        self._known(path, table, BACKOFF_RULES)
        self._check(path, BACKOFF_RULES, table)
        # What has a problem is left out: it would only be told a second time.
        return {"backoff": Backoff(**table)} if len(self.problems) == start else {}

    def _resolved(self, path: str, table: _Table, key: str) -> Iterator[Any]:
        """Yield what the name under `key` stands for; nothing if that is not to be had."""
        if key not in table:
            self._say(f"{path}.{key}", "is missing")
        if key not in table or self._names is None:
            return
        target, problem = self._names.resolve(table[key])
        if problem:
            self._say(f"{path}.{key}", problem)
        else:
            yield target

    # -- checks ---

    def _known(self, path: str, table: _Table, known: Iterable[str]) -> None:
        wrong = unknown(table, known)
        for line in misplaced(wrong):
            name = line.partition(":")[0]
            del wrong[name]
            self.problems += under(path, [line]) if path else [line]
        for name, near in wrong.items():
            self._say(_join(path, name), f"is no known key{near}")

    def _check(
        self, path: str, rules: Mapping[str, Rule], values: _Table, needed: str = ""
    ) -> None:
        self.problems += under(path, check_all(rules, values))
        if needed and needed not in values:
            self._say(f"{path}.{needed}", "is missing")

    def _significance(self, path: str, options: _Table) -> None:
        if problem := significance_problem(options.get("significant"), self._auto_shutdown):
            self.problems += under(path, [problem])

    def _order(self, path: str, table: _Table) -> int | None:
        order = table.get("order")
        if order is None or type(order) is int:
            return order
        self._say(f"{path}.order", f"must be a whole number, not {shown(order)}")
        return None

    def _say(self, path: str, text: str) -> None:
        self.problems.append(f"{path}: {text}")


def _is_array(value: object) -> TypeGuard[Sequence[object]]:
    return type(value) in (list, tuple)


def _join(path: str, key: str) -> str:
    key = key if key.isidentifier() else shown(key)
    return f"{path}.{key}" if path else key


def _id_from(value: object) -> object:
    # TOML has no tuples.
    return tuple(value) if isinstance(value, list) else value


def _id_of(table: _Table) -> ChildId | None:
    """Return the id in a table, `None` if there is none that could be one."""
    made: Any = _id_from(table.get("id"))
    return None if made is None or ident(made) else made


def _arranged(children: Sequence[tuple[ChildSpec, int | None]]) -> tuple[ChildSpec, ...]:
    """Put children with an `order` in their places, the others around them as written.

    Places count from 1; one below is the first, one beyond the end the last. Of two
    with the same place the one written first goes first.
    """
    moved = sorted(
        ((order, child) for child, order in children if order is not None), key=itemgetter(0)
    )
    rest = deque(child for child, order in children if order is None)
    arranged: list[ChildSpec] = []
    for order, child in moved:
        while rest and len(arranged) + 1 < order:
            arranged.append(rest.popleft())
        arranged.append(child)
    return (*arranged, *rest)
