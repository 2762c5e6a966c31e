"""The pytest plugin: the fixtures, the markers and the options.

Owns what pytest sees; nothing else of the library imports pytest. It must not know how a
tree is looked into. Loaded by the entry point `pytest11` where the package is installed,
else by `-p threadsup.testing.plugin`.
"""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from threadsup.testing.checks import Checks, Watch
from threadsup.testing.manual import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._supervisor import Supervisor

__all__ = ["MakeSupervisor", "manual_clock", "supervisor", "supervisors"]

_SWITCHES = [each.name for each in fields(Checks) if isinstance(each.default, bool)]
_LIMITS = [each.name for each in fields(Checks) if isinstance(each.default, float)]

_numbers = itertools.count(1)


class MakeSupervisor(Protocol):
    """Makes supervisors that are stopped after the test; not started yet."""

    def __call__(self, name: str | None = None, **options: Any) -> Supervisor:
        """Return one; a name is made where none is given. See `Supervisor` for the options."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the configuration file."""
    usual = [name for name in _SWITCHES if getattr(Checks, name)]
    parser.addini(
        "threadsup_checks",
        f"what the supervisor fixtures fail a test for, of: {' '.join(_SWITCHES)}",
        type="args",
        default=usual,
    )
    for name in _LIMITS:
        default = getattr(Checks, name)
        parser.addini(f"threadsup_{name}", f"seconds, {default:g} by default", default=str(default))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and read the options: a wrong one ends the run at once."""
    config.addinivalue_line(
        "markers", "supervisor(**options): options of the Supervisor of the fixture `supervisor`."
    )
    config.addinivalue_line(
        "markers",
        "threadsup_checks(**checks): what this test is failed for by the supervisor fixtures: "
        f"{', '.join(_SWITCHES)} (True or False), {', '.join(_LIMITS)} (seconds).",
    )
    _configured(config)


def _configured(config: pytest.Config) -> Checks:
    wanted = config.getini("threadsup_checks")
    options: dict[str, Any] = {name: name in wanted for name in _SWITCHES}
    if unknown := [name for name in wanted if name not in _SWITCHES]:
        raise pytest.UsageError(
            f"threadsup_checks: there is no {', '.join(unknown)}; there are {', '.join(_SWITCHES)}"
        )
    for name in _LIMITS:
        text = config.getini(f"threadsup_{name}")
        try:
            options[name] = float(text)
        except ValueError:
            options[name] = text
    try:
        return Checks().with_options(options)
    except TypeError as error:
        raise pytest.UsageError(f"threadsup_{error}") from None


def _options(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """Return what the markers say together; the nearest one counts."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(marker))):
        if mark.args:
            pytest.fail(f"@pytest.mark.{marker} takes keywords only", pytrace=False)
        options |= mark.kwargs
    return options


@pytest.fixture
def _threadsup_watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    try:
        checks = _configured(request.config).with_options(_options(request, "threadsup_checks"))
    except TypeError as error:
        pytest.fail(f"@pytest.mark.threadsup_checks: {error}", pytrace=False)
    watch = Watch(checks)
    yield watch
    if problems := watch.end():
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def supervisor(request: pytest.FixtureRequest, _threadsup_watch: Watch) -> Supervisor:
    """Return a running `Supervisor`, which is stopped after the test and then looked at.

    The test fails, in its teardown, for what it leaves behind: threads, asks without an
    answer, crashes that it did not announce by `expect_crash`, `crash` or `hang`.
    Options are set by `@pytest.mark.supervisor(max_restarts=0)`, what is looked at by
    `@pytest.mark.threadsup_checks(crashes=False)` or in the configuration file.
    """
    options = _options(request, "supervisor")
    options.setdefault("name", f"{request.node.name}-{next(_numbers)}")
    return _threadsup_watch.make(**options).start()


@pytest.fixture
def supervisors(request: pytest.FixtureRequest, _threadsup_watch: Watch) -> MakeSupervisor:
    """Return a function that makes supervisors, not started, which are seen to as above."""
    watch, test = _threadsup_watch, request.node.name

    def make(name: str | None = None, **options: Any) -> Supervisor:
        return watch.make(name or f"{test}-{next(_numbers)}", **options)

    return make


@pytest.fixture
def manual_clock() -> Iterator[ManualClock]:
    """Hold the library's clock for the test: see `threadsup.testing.ManualClock`.

    Name it before `supervisor` if the supervisor is to be started by that clock.
    """
    with ManualClock() as clock:
        yield clock
