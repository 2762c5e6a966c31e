"""A file, or a mapping of the same shape, to a `SupervisorSpec`: all or nothing.

Owns the shape of the file and the paths in its messages. What an option must be is
the specs' business: their rules are applied here to the file's tables, each line
with the path of its table before it. How a file is read is told in
`threadsup._document`, which names may be imported in `threadsup._imports`. It must
not start anything.
"""

from __future__ import annotations

import builtins
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import MISSING, fields
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from threadsup._checks import check_all, ident, one_of, shown, suggestion, under, unknown
from threadsup._document import document
from threadsup._errors import SpecError
from threadsup._imports import Names, allow_problems
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.backoff import Backoff
from threadsup._policy.batch import Batch
from threadsup._policy.breaker import Breaker
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._specs.chain import CHAIN_RULES, ChainSpec, length_problem
from threadsup._specs.group import GROUP_RULES, GroupSpec
from threadsup._specs.naming import duplicates
from threadsup._specs.rules import ON_ERROR, SCOPE_RULES, misplaced
from threadsup._specs.stage import STAGE_RULES, StageSpec, stage_problems
from threadsup._specs.supervisor import (
    DEFAULTS_RULES,
    NESTED_RULES,
    SUPERVISOR_RULES,
    ChildSpec,
    Defaults,
    SupervisorSpec,
    significance_problem,
)
from threadsup._specs.targets import Handler, kind_of, kind_of_stage
from threadsup._specs.worker import WORKER_RULES, WorkerSpec, worker_defaults, worker_problems

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import TypeGuard

    from threadsup._checks import Rule
    from threadsup._exits import ChildId

__all__ = ["load"]

T = TypeVar("T")
_Table: TypeAlias = Mapping[str, Any]

# A file says "task" or "handler"; what a class is shows in the class.
_FILE_KIND = one_of("task", "handler")
_STAGE_RULES = {name: rule for name, rule in STAGE_RULES.items() if name != "kind"}
_VALUES: Mapping[str, type[Any]] = {
    "backoff": Backoff,
    "batch": Batch,
    "rate": Rate,
    "breaker": Breaker,
}
"""Options that are a table in a file."""
_BUILTIN_ERRORS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
_NESTED_RULES = {
    "id": NESTED_RULES["name"],  # as all children have, though in a program it is the name
    **{name: rule for name, rule in NESTED_RULES.items() if name != "name"},
}
_KINDS = ("worker", "group", "chain", "nested")
"""The kinds of children, in the order they start."""
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
        tables = document(path_or_mapping)
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from error.__cause__
    # Where `allow` itself is wrong, a line for each target would say nothing new.
    reader = _Reader(problems, None if problems else Names(allow))
    children, options = reader.tree(tables)
    if reader.problems:
        raise SpecError(reader.problems)
    return SupervisorSpec(children=children, **options)


class _Reader:
    """Turns tables into specs and collects what is wrong with them.

    What cannot be made is `None` and has a line in `problems`; the rest is checked
    all the same.
    """

    def __init__(self, problems: list[str], names: Names | None) -> None:
        self.problems = problems
        self._names = names
        self._auto_shutdown: object = "never"

    def tree(self, tables: _Table) -> tuple[tuple[ChildSpec, ...], dict[str, Any]]:
        """Return the children, in the order they start, and the supervisor's options."""
        self._known("", tables, ("supervisor", *_KINDS))
        options = self._supervisor(tables.get("supervisor", {}))
        return self._children("", tables), options

    def _children(self, path: str, tables: _Table) -> tuple[ChildSpec, ...]:
        children: list[tuple[ChildSpec, int | None]] = []
        ids = []
        kinds: tuple[Callable[[str, _Table], ChildSpec | None], ...]
        kinds = (self._standalone, self._group, self._chain, self._nested)
        for key, read in zip(_KINDS, kinds, strict=True):
            for place, table in self._tables(path, tables, key):
                ids.append((place, _id_of(table)))
                order = self._order(place, table)
                child = read(place, table)
                if child is not None:
                    children.append((child, order))
        self.problems += duplicates(ids)
        return _arranged(children)

    def _nested(self, path: str, table: _Table) -> SupervisorSpec | None:
        start = len(self.problems)
        options = self._options(path, table, _NESTED_RULES, "order", "defaults", *_KINDS)
        self._check(path, _NESTED_RULES, options, needed="id")
        self._significance(path, options)
        if "defaults" in table:
            options |= self._defaults(f"{path}.defaults", table["defaults"])
        above, self._auto_shutdown = self._auto_shutdown, options.get("auto_shutdown", "never")
        children = self._children(path, table)
        self._auto_shutdown = above
        if not self._fine_since(start):
            return None
        return SupervisorSpec(name=options.pop("id"), children=children, **options)

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
        self._resolve(path, table, options, "on_result")
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
        if not self._resolve(path, table, options, "key") and options.get("routing") == "partition":
            del options["routing"]  # the key has its line already
        for target in self._resolved(path, table, "target"):
            options |= {"target": target, "kind": kind_of_stage(target)}
        self.problems += under(path, stage_problems(options))
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

    def _is_table(self, value: object, path: str, what: str = "a table") -> TypeGuard[_Table]:
        if isinstance(value, Mapping):
            return True
        self._say(path, f"must be {what}, not {shown(value)}")
        return False

    def _options(
        self, path: str, table: _Table, rules: Mapping[str, Rule], *more: str
    ) -> dict[str, Any]:
        """Return what the table says about `rules`, in the form the specs take."""
        self._known(path, table, (*rules, *more))
        options = {name: table[name] for name in rules if name in table}
        if "id" in options:
            options["id"] = _id_from(options["id"])
        for name, make in _VALUES.items():
            if name in options:
                options |= self._value(f"{path}.{name}", options.pop(name), name, make)
        if type(options.get("workers", 1)) is not int:
            place, what = f"{path}.workers", "a whole number or a table"
            options |= self._value(place, options.pop("workers"), "workers", Autoscale, what)
        on_error = options.get("on_error", "crash")
        if type(on_error) is not str or ON_ERROR(on_error):
            options |= self._retry(f"{path}.on_error", options.pop("on_error"))
        return options

    def _value(
        self, path: str, table: object, name: str, make: type[Any], what: str = "a table"
    ) -> dict[str, Any]:
        """Return the option `name`, made of a table with the fields of `make`."""
        start = len(self.problems)
        if not self._is_table(table, path, what):
            return {}
        known = {field.name: field for field in fields(make)}
        values = {key: value for key, value in table.items() if key in known}
        if "on" in values:
            values["on"] = tuple(self._errors(f"{path}.on", values["on"])) or (Exception,)
        self._known(path, table, known)
        missing = [key for key in known if known[key].default is MISSING and key not in values]
        for key in missing:
            self._say(f"{path}.{key}", "is missing")
        try:
            # What is missing has its line: with 1, which fits all, the rest is checked.
            made = make(**dict.fromkeys(missing, 1), **values)
        except SpecError as error:
            # It begins its paths with its own name: here it is that of the option.
            self.problems += under(path, (line.partition(".")[2] for line in error.problems))
        # What has a problem is left out: it would only be told a second time.
        return {name: made} if len(self.problems) == start else {}

    def _retry(self, path: str, table: object) -> dict[str, Any]:
        start = len(self.problems)
        if not self._is_table(table, path, "'crash', 'reject' or a table"):
            return {}
        values = dict(table)
        if "backoff" in values:
            values |= self._value(f"{path}.backoff", values.pop("backoff"), "backoff", Backoff)
        made = self._value(path, values, "on_error", Retry)
        return made if len(self.problems) == start else {}

    def _errors(self, path: str, names: object) -> Iterator[object]:
        """Yield the exceptions in a list: built-in ones by name, others as targets are."""
        if not _is_array(names) or not names:
            self._say(path, f"must be a list of names of exceptions, not {shown(names)}")
            return
        for index, name in enumerate(names):
            place = f"{path}[{index}]"
            if type(name) is str and ":" not in name:
                error, problem = _builtin_error(name)
            elif self._names is None:
                continue
            else:
                error, problem = self._names.resolve(name)
            if not problem and not (isinstance(error, type) and issubclass(error, Exception)):
                problem = f"must be a subclass of Exception, not {shown(error)}"
            if problem:
                self._say(place, problem)
            else:
                yield error

    def _resolve(self, path: str, table: _Table, options: dict[str, Any], key: str) -> bool:
        """Put into `options` what the name under `key` stands for; false if it cannot."""
        options.pop(key, None)
        if key not in table:
            return True
        for target in self._resolved(path, table, key):
            options[key] = target
        return key in options

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


def _builtin_error(name: str) -> tuple[object, str]:
    """Return the exception of Python of that name, and what is wrong with the name."""
    if name in _BUILTIN_ERRORS:
        return _BUILTIN_ERRORS[name], ""
    near = suggestion(name, _BUILTIN_ERRORS)
    return None, f"must be a built-in exception or 'package.module:name', not {shown(name)}{near}"


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
