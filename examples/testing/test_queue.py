"""How a small service is tested: a queue of mails that is sent in the background.

    pytest -p threadsup.testing.plugin examples/testing

(without `-p` where the package is installed).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from threadsup import Backoff, GenServer, ReplyTimeout, events
from threadsup.testing import Gate, capture_events, crash, expect_crash, hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup import Supervisor, WorkerRef
    from threadsup.testing import ManualClock


class Mailer(GenServer):
    """Sends what it is given, one mail every ten seconds."""

    def init(self, send: Callable[[str], object]) -> None:
        """Begin with nothing to send."""
        self.send = send
        self.waiting: deque[str] = deque()
        self.every(10.0, "send one")

    def handle_call(self, request: str) -> int:
        """Tell how many mails wait."""
        if request != "waiting":
            raise ValueError(request)
        return len(self.waiting)

    def handle_cast(self, message: str) -> None:
        """Take a mail."""
        self.waiting.append(message)

    def handle_info(self, message: Any) -> None:
        """Send one: the timer says so."""
        if message == "send one" and self.waiting:
            self.send(self.waiting.popleft())


PAUSE = 30.0

pytestmark = pytest.mark.usefixtures("manual_clock")


@pytest.fixture
def sent() -> list[str]:
    """What was sent."""
    return []


@pytest.fixture
def mailer(supervisor: Supervisor, sent: list[str]) -> WorkerRef:
    """Return a mailer that sends into a list."""
    return supervisor.add_worker(Mailer, sent.append, id="mailer")


def test_one_mail_goes_out_every_ten_seconds(
    mailer: WorkerRef, manual_clock: ManualClock, sent: list[str]
) -> None:
    """The test takes no time at all."""
    mails = ["first", "second"]
    for mail in mails:
        mailer.cast(mail)
    assert mailer.call("waiting") == len(mails)
    manual_clock.advance(10)
    assert mailer.call("waiting") == 1
    manual_clock.advance(10)
    assert mailer.call("waiting") == 0
    assert sent == mails


def test_mails_that_wait_in_its_memory_are_lost_in_a_crash(mailer: WorkerRef) -> None:
    """A test that shows a weakness: what is to survive belongs into the mailbox, or on disk."""
    mailer.cast("unlucky")
    assert mailer.call("waiting") == 1
    crash(mailer)
    assert mailer.call("waiting") == 0


def test_a_server_that_refuses_is_tried_again_after_a_pause(
    manual_clock: ManualClock, supervisor: Supervisor
) -> None:
    """The second restart in a row waits; for how long, the event tells."""

    def refuse(mail: str) -> None:
        raise ConnectionError(mail)

    backoff = Backoff(initial=PAUSE, maximum=PAUSE, jitter=0.0)
    group = supervisor.add_group("mail", backoff=backoff, max_seconds=60.0)
    mailer = group.add_worker(Mailer, refuse, id="mailer")
    with capture_events(supervisor) as log:
        for _ in range(2):
            mailer.cast("unwanted")
            mailer.call("waiting")
            with expect_crash(mailer, match="ConnectionError: unwanted"):
                manual_clock.advance(10)
        assert log.wait_for(events.Restarting, count=2).delay == PAUSE
        assert not mailer.is_alive()
        manual_clock.advance(PAUSE)
        assert mailer.call("waiting") == 0


def test_a_mail_that_takes_its_time_holds_up_those_who_ask(
    manual_clock: ManualClock, supervisor: Supervisor
) -> None:
    """The gate holds the mailer in the middle of a mail."""
    gate = Gate("the mail server")
    mailer = supervisor.add_worker(Mailer, lambda _: gate.meet(), id="mailer")
    mailer.cast("large")
    mailer.call("waiting")
    manual_clock.advance(10)
    gate.wait_reached()
    with pytest.raises(ReplyTimeout):
        mailer.call("waiting", timeout=0.01)
    gate.open()
    assert mailer.call("waiting") == 0


def test_a_mailer_that_hangs_is_replaced(
    manual_clock: ManualClock, supervisor: Supervisor, sent: list[str]
) -> None:
    """A minute is too long for a mail."""
    mailer = supervisor.add_worker(Mailer, sent.append, id="mailer", time_limit=60.0)
    with hang(mailer):
        manual_clock.advance(60)
        assert mailer.call("waiting") == 0
    assert mailer.incarnation > 1
