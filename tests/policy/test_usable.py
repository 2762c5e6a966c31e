"""A rule used by itself: each word reaches the tools that were brought in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from threadsup._policy import usable
from threadsup._policy.breaker import Breaker
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._policy.usable import bring

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._policy.usable import Blocks, Usable


class Noting:
    """Tools that only say what was asked of them."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def call(
        self, rule: Any, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self.log.append(("call", rule))
        return fn(*args, **kwargs)

    def around(self, rule: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
        self.log.append(("around", rule))
        return fn

    def enter(self, rule: Any) -> None:
        self.log.append(("enter", rule))

    def leave(self, rule: Any, error: BaseException | None) -> None:
        self.log.append(("leave", rule, error))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Noting:
    """Bring tools, and have the package's own back after."""
    monkeypatch.setattr(usable, "_tools", [])
    noting = Noting()
    bring(noting)
    return noting


RULES = [Retry(), Rate(1), Breaker()]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_call_goes_through_the_rule_with_its_arguments(rule: Usable, tools: Noting) -> None:
    """And comes back with what the function returns."""
    assert rule.call(divmod, 7, 2) == (3, 1)
    assert rule.call(int, "11", base=2) == 3
    assert tools.log == [("call", rule)] * 2


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_decorates_a_function(rule: Usable, tools: Noting) -> None:
    """What is around it is the tools' to make."""
    assert rule(len)("four") == 4
    assert tools.log == [("around", rule)]


@pytest.mark.parametrize("rule", RULES[1:], ids=repr)
def test_a_block_begins_and_ends_under_the_rule(rule: Blocks, tools: Noting) -> None:
    """An error that leaves it is told, and is not kept from anybody."""
    with rule:
        assert tools.log == [("enter", rule)]
    error = ValueError("in the block")
    with pytest.raises(ValueError, match="in the block"), rule:
        raise error
    assert tools.log[1:] == [("leave", rule, None), ("enter", rule), ("leave", rule, error)]


def test_the_last_tools_brought_are_used(tools: Noting) -> None:
    """Bringing others leaves nothing of those before."""
    later = Noting()
    bring(later)
    assert Retry().call(abs, -1) == 1
    assert later.log
    assert not tools.log
