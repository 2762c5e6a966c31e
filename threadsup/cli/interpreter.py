"""The interpreter and what is installed for it, and whether there is a GIL.

Owns how to find out, and who has switched the GIL on where it was off. It must not know
what is good about any of it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import platform
import re
import sys
import sysconfig
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXTRAS", "NEEDED", "Gil", "Watch", "interpreter", "version_of"]

NEEDED = {"pykka": "4.5", "typing-extensions": ""}
"""What the library needs, and the least version of it."""

EXTRAS = {"cli": ("rich", "shtab")}
"""What it can use besides."""

_LOADED = re.compile(r"load module '([^']+)'")
"""In the interpreter's warning that it has switched the GIL on."""


@final
@dataclass(frozen=True, slots=True)
class Gil:
    """Whether one thread at a time runs Python code."""

    built: bool
    """Whether the interpreter was built with it: then it is on."""
    on: bool
    forced: str
    """What of the call or the environment keeps it on or off: `PYTHON_GIL=1`; or empty."""
    by: tuple[str, ...] = ()
    """The extension modules that have switched it on, or may have."""
    certain: bool = True
    """Whether it was seen who did."""


def is_on() -> bool:
    """Tell whether there is a GIL at this moment."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class Watch:
    """Looks at what is imported within its blocks, and at the GIL after each."""

    def __init__(self) -> None:
        self._names: list[str] = []

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Note which extension module switches the GIL on in this block."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                for warning in caught:
                    self._names += _LOADED.findall(str(warning.message))

    def try_import(self, name: str) -> bool:
        """Import a module, and tell whether it is there."""
        with self.looking():
            try:
                importlib.import_module(name)
            except ImportError:
                return False
        return True

    def gil(self) -> Gil:
        """Return how it is now."""
        built = not sysconfig.get_config_var("Py_GIL_DISABLED")
        forced = _forced()
        if built or forced or not is_on():
            return Gil(built, is_on(), forced)
        if self._names:
            return Gil(built, on=True, forced="", by=tuple(dict.fromkeys(self._names)))
        # It was on before anybody looked: one of those that are loaded did it.
        return Gil(built, on=True, forced="", by=_extensions(), certain=False)


def interpreter() -> str:
    """Return which one this is: `CPython 3.13.5, free-threaded, /usr/bin/python3.13t`."""
    free = ", free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    name, version = platform.python_implementation(), platform.python_version()
    return f"{name} {version}{free}, {sys.executable}"


def version_of(name: str) -> str:
    """Return the version that is installed, `""` if none is."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _forced() -> str:
    option = sys._xoptions.get("gil")  # noqa: SLF001 - its name is official, and documented
    if option is not None:
        return f"-X gil={option}"
    value = os.environ.get("PYTHON_GIL", "")
    return f"PYTHON_GIL={value}" if value and not sys.flags.ignore_environment else ""


def _extensions() -> tuple[str, ...]:
    """Return the extension modules that are loaded and not the standard library's."""
    endings = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return tuple(
        sorted(
            name
            for name, module in tuple(sys.modules.items())
            if str(getattr(module, "__file__", "") or "").endswith(endings)
            and name.partition(".")[0] not in sys.stdlib_module_names
        )
    )
