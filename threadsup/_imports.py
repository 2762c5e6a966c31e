"""What a file may name: `"package.module:name"`, within the packages allowed.

Owns the form of such a name, the check of `allow`, and the import. It must not know
what is done with what was found.

A file is not trusted. The program says, by whole package names, what a file may
name; after the colon stands one name, and attributes are not walked: a chain of
them on live objects leads anywhere. Nor does an allowed module allow what it merely
imported: after `from subprocess import run` in there, `myapp.tools:run` would be a
shell.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Mapping

from threadsup._checks import shown, suggestion
from threadsup._exits import describe_exception

__all__ = ["Names", "allow_problems"]

_SHOWN = 8
"""How many allowed packages a message names: a folder may hold hundreds of modules."""


def allow_problems(allow: object) -> list[str]:
    """Return what is wrong with `allow`, each line with its path."""
    if isinstance(allow, str):
        return [f"allow: must be a tuple of package names: allow=({shown(allow)},)"]
    if not isinstance(allow, Collection) or isinstance(allow, Mapping | bytes):
        return [f"allow: must be a tuple of package names, not {shown(allow)}"]
    return [
        f"allow[{index}]: must be the name of a package, not {shown(entry)}"
        for index, entry in enumerate(allow)
        if not _is_dotted(entry)
    ]


def _is_dotted(name: object) -> bool:
    return type(name) is str and all(part.isidentifier() for part in name.split("."))


class Names:
    """Resolves names for one file, within what is allowed."""

    def __init__(self, allow: Collection[str]) -> None:
        self._allow = tuple(allow)
        # A module is imported once, also when that fails: its code runs no second time.
        self._modules: dict[str, tuple[object, str]] = {}

    def resolve(self, text: object) -> tuple[object, str]:
        """Return what `text` names, and what is wrong with it, `""` if nothing is.

        Imports the module, so its code runs here, if it is allowed. What that raises
        is told, not raised, but for `KeyboardInterrupt`: that is the user's.
        """
        module, _, name = text.partition(":") if type(text) is str else ("", "", "")
        if not (_is_dotted(module) and name.isidentifier()):
            return None, f"must be 'package.module:name', not {shown(text)}"
        if not self._allows(module):
            return None, f"{shown(text)} is not allowed, {self._allowed()}"
        if module not in self._modules:
            self._modules[module] = _guarded_import(module)
        found, problem = self._modules[module]
        if problem:
            return None, f"{module} cannot be imported: {problem}"
        target, hint = _attribute(found, name)
        if hint is not None:
            return None, f"{module} has no {name!r}{hint}"
        home = _home(target)
        if home and not self._allows(home):
            return None, f"{shown(text)} comes from {home}, which is not allowed, {self._allowed()}"
        return target, ""

    def _allows(self, module: str) -> bool:
        return any(module == entry or module.startswith(f"{entry}.") for entry in self._allow)

    def _allowed(self) -> str:
        if not self._allow:
            return "as no package is"
        more = len(self._allow) - _SHOWN
        names = ", ".join([*self._allow[:_SHOWN], *([f"{more} more"] if more > 0 else [])])
        return f"only {names} is"


def _guarded_import(module: str) -> tuple[object, str]:
    try:
        return importlib.import_module(module), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module may do anything, exit too
        return None, describe_exception(error)


def _attribute(module: object, name: str) -> tuple[object, str | None]:
    try:
        return getattr(module, name), None
    except AttributeError:
        known = getattr(module, "__dict__", {})
        return None, suggestion(name, [key for key in known if type(key) is str])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module's __getattr__ is anybody's code
        return None, f": {describe_exception(error)}"


def _home(target: object) -> str:
    """Return the module a function or class was written in, `""` if it does not say."""
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        return ""
    home = getattr(target, "__module__", None)
    # `operator.add` says `_operator`: the C half of an allowed module is allowed.
    return home.removeprefix("_") if type(home) is str else ""
