"""The bound of a mailbox: what happens at it, who waits for room, and who wakes whom."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from tests.runtime.forcing import Running, Watched, note_sleepers, run, run_as_worker
from threadsup._errors import CallingSelfError, MailboxClosed, MailboxFull
from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime.context import StopToken, Wakeup
from threadsup._runtime.mailbox import END, WAKE, Mailbox, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._specs import OnFull


def full(capacity: int = 1, on_full: OnFull = "wait", **options: Any) -> Mailbox:
    mailbox = Mailbox("box", capacity, on_full, **options)
    for message in range(capacity):
        mailbox.put(message)
    return mailbox


def take(mailbox: Mailbox) -> Any:
    """Take one message or token, as the loop of a worker does."""
    raw = mailbox.get()
    if mailbox.senders and mailbox.qsize() - len(mailbox.tokens) <= mailbox.half:
        mailbox.wake_senders()
    if type(raw) is Token:
        mailbox.took_token()
    return raw


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Recorder[Wakeup]:
    """Hears who is about to sleep."""
    return note_sleepers(monkeypatch)


# -- at the bound ---------------------------------------------------------------------


def test_an_unbounded_mailbox_takes_everything() -> None:
    """Without a capacity nobody waits and nothing is dropped."""
    mailbox = Mailbox("box", None, "raise")
    for message in range(1000):
        mailbox.put_nowait(message)
    assert mailbox.pending == 1000


def test_a_mailbox_that_raises_is_full_at_once() -> None:
    """At the bound `put` and `put_nowait` raise, and `offer` returns `False`."""
    mailbox = full(2, "raise")
    for put in (mailbox.put, mailbox.put_nowait):
        with pytest.raises(MailboxFull, match=r"^the mailbox of 'box' is full \(2 messages\)$"):
            put("more")
    assert not mailbox.offer("more")
    assert take(mailbox) == 0
    assert mailbox.offer("more")


def test_a_mailbox_that_waits_does_not_wait_where_it_must_not() -> None:
    """`put_nowait` raises, `offer` returns `False`, a `put` waits no longer than it may."""
    mailbox = full()
    with pytest.raises(MailboxFull):
        mailbox.put_nowait("more")
    assert not mailbox.offer("more")
    for timeout in (-1, 0, 0.005):
        begin = monotonic()
        with pytest.raises(MailboxFull, match=f"^no room for a message to 'box' in {timeout:g} s"):
            mailbox.put("more", timeout)
        assert monotonic() - begin >= timeout
    assert not mailbox.senders
    assert (mailbox.pending, mailbox.undelivered) == (1, 0)


@pytest.mark.parametrize(("on_full", "kept"), [("drop_new", [0, 1]), ("drop_old", [3, 4])])
def test_a_mailbox_that_drops_lets_nobody_wait(on_full: OnFull, kept: list[int]) -> None:
    """The newest or the oldest goes, is counted and handed over with the reason."""
    lost: Recorder[tuple[list[Any], str]] = Recorder()
    mailbox = full(2, on_full, on_undelivered=lambda raws, why: lost((raws, why)))
    mailbox.put(2)
    mailbox.put_nowait(3)
    assert mailbox.offer(4)
    assert (mailbox.pending, mailbox.undelivered) == (2, 3)
    dropped = [raw for raws, _ in lost.items for raw in raws]
    assert sorted([*dropped, *kept]) == [0, 1, 2, 3, 4]
    assert {why for _, why in lost.items} == {"dropped at the bound"}
    assert [take(mailbox), take(mailbox)] == kept


def test_the_oldest_is_the_oldest_message() -> None:
    """A token ahead of it is not dropped, and comes later at worst."""
    mailbox = Mailbox("box", 2, "drop_old")
    mailbox.put_token(END)
    mailbox.signal("look")
    for message in range(3):
        mailbox.put(message)
    assert mailbox.pending == 2
    assert [take(mailbox) for _ in range(4)] == [1, END, WAKE, 2]


def test_dropping_the_oldest_of_nothing_makes_room() -> None:
    """A consumer that is faster than the one who drops costs no message."""
    mailbox = full(1, "drop_old")
    look, seen = mailbox.qsize, iter([1, 1, 1])

    def stale() -> int:
        return next(seen, None) or look()

    mailbox.qsize = stale
    mailbox.get()
    mailbox.put("new")
    assert (mailbox.pending, mailbox.undelivered) == (1, 0)


def test_who_is_told_of_a_loss_may_send() -> None:
    """`on_undelivered` runs with no lock held: it may use the mailbox."""
    seen: Recorder[int] = Recorder()
    mailbox = full(1, "drop_new")
    mailbox.on_undelivered = lambda raws, why: seen(run(lambda: mailbox.pending).result())
    mailbox.put("new")
    assert seen.items == [1]


def test_a_destructor_may_send_in_the_middle_of_it() -> None:
    """What the collector or a signal handler runs meets no lock of its own thread."""
    mailbox = full(1, "drop_new")

    def nested() -> None:
        with mailbox._lock:
            mailbox.put("new")
            mailbox.put_token(END)

    run(nested).result()
    assert (mailbox.pending, mailbox.undelivered) == (1, 1)


# -- handing on -----------------------------------------------------------------------


def test_what_is_handed_on_goes_into_a_shut_mailbox() -> None:
    """Shut is for senders: what was on its way is kept with what is queued."""
    mailbox = full(2)
    mailbox.shut("pause")
    assert not mailbox.hand_on("more")
    assert take(mailbox) == 0
    assert mailbox.hand_on("more")
    mailbox.open()
    assert not mailbox.hand_on("again")
    assert [take(mailbox), take(mailbox)] == [1, "more"]
    assert mailbox.hand_on("again")
    assert (mailbox.pending, mailbox.undelivered) == (1, 0)


def test_what_is_handed_on_is_taken_over_by_a_closed_mailbox() -> None:
    """Where it was to go it is undelivered, as what was queued there is."""
    lost: Recorder[tuple[list[Any], str]] = Recorder()
    mailbox = full(1, on_undelivered=lambda raws, why: lost((raws, why)))
    assert mailbox.close("over") == [0]
    assert mailbox.hand_on("more")
    mailbox.lose([1, END], "given up")
    mailbox.lose([], "nothing")
    assert lost.items == [(["more"], "over"), ([1, END], "given up")]
    assert (mailbox.pending, mailbox.undelivered) == (0, 3)


def test_who_hands_on_waits_through_a_shutting(sleepers: Recorder[Wakeup]) -> None:
    """It is woken, finds no room and waits; a closing lets it go on."""
    mailbox = full(1)
    waiting = run(lambda: mailbox.wait_for_room(give_way=True))
    sleepers.wait_for(1)
    mailbox.shut("pause")
    sleepers.wait_for(2)
    assert not waiting.over
    mailbox.close("over")
    assert waiting.result()
    assert not mailbox.senders


# -- waiting for room -----------------------------------------------------------------


def test_a_sender_waits_until_the_mailbox_is_half_empty(sleepers: Recorder[Wakeup]) -> None:
    """Not the first message taken wakes it, but the one that leaves half."""
    mailbox = full(4)
    sender = run(mailbox.put, "more")
    sleepers.wait_for(1)
    take(mailbox)
    mailbox.wake_senders()
    assert len(mailbox.senders) == 1
    take(mailbox)
    sender.result()
    assert not mailbox.senders
    assert [take(mailbox) for _ in range(3)] == [2, 3, "more"]


def test_a_sender_is_woken_when_the_mailbox_runs_empty(sleepers: Recorder[Wakeup]) -> None:
    """A mailbox of one message wakes with the only one it has."""
    mailbox = full(1)
    sender = run(mailbox.put, "more")
    sleepers.wait_for(1)
    assert take(mailbox) == 0
    sender.result()
    assert take(mailbox) == "more"


def test_a_sender_is_woken_behind_tokens(sleepers: Recorder[Wakeup]) -> None:
    """Tokens left in the queue take no room, though the consumer does not come to them."""
    mailbox = full(1)
    sender = run(mailbox.put, "more")
    sleepers.wait_for(1)
    mailbox.put_token(END)
    assert take(mailbox) == 0
    sender.result()
    assert take(mailbox) is END
    assert take(mailbox) == "more"


def test_a_token_that_is_just_put_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, and not yet in the queue, it does not pass for a message that was taken."""
    mailbox = full(1)
    lock, enqueue = mailbox._lock, Mailbox._enqueue
    looking = Gate("the look of a sender")
    looking.open()

    class Seen:
        def __enter__(self) -> None:
            looking.meet()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    senders: list[Running[bool]] = []

    def put(_: Mailbox, raw: Any) -> None:
        senders.append(run(mailbox.offer, "more"))
        looking.wait_reached(2)
        enqueue(mailbox, raw)

    mailbox._lock = Seen()  # type: ignore[assignment]
    monkeypatch.setattr(Mailbox, "_enqueue", put)
    assert mailbox.put_token(END)
    assert not senders[0].result()
    assert mailbox.pending == 1


def test_a_sender_is_woken_by_the_token_a_consumer_takes_for_a_signal(
    sleepers: Recorder[Wakeup],
) -> None:
    """A consumer that looks at the signals, and not at who waits, loses no wake-up."""
    mailbox = full(1)
    sender = run(mailbox.put, "more")
    sleepers.wait_for(1)
    mailbox.signal("look")
    mailbox.get()
    assert mailbox.get() is WAKE
    mailbox.took_token()
    sender.result()


@pytest.mark.parametrize("end", [Mailbox.shut, Mailbox.close])
def test_a_waiting_sender_is_refused_when_the_mailbox_shuts(
    sleepers: Recorder[Wakeup], end: Callable[[Mailbox, str], object]
) -> None:
    """All who wait wake and learn why, however long they would have waited."""
    mailbox = full(1)
    senders = [run(mailbox.put, n, timeout) for n, timeout in enumerate([None, 60, None])]
    sleepers.wait_for(3)
    end(mailbox, "it has ended")
    for sender in senders:
        with pytest.raises(MailboxClosed, match="it has ended"):
            sender.result()
    assert not mailbox.senders


def test_a_waiting_sender_gets_in_when_the_messages_are_dropped(
    sleepers: Recorder[Wakeup],
) -> None:
    """`drop` makes room."""
    mailbox = full(1)
    sender = run(mailbox.put, "more")
    sleepers.wait_for(1)
    assert mailbox.drop() == [0]
    sender.result()
    assert take(mailbox) == "more"


def test_more_senders_than_room_all_get_in(sleepers: Recorder[Wakeup]) -> None:
    """Twenty senders to a mailbox of three, one consumer: nobody is left behind."""
    mailbox = full(3)
    senders = [run(mailbox.put, message) for message in range(3, 23)]
    sleepers.wait_for(20)
    assert sorted(take(mailbox) for _ in range(23)) == list(range(23))
    for sender in senders:
        sender.result()
    assert not mailbox.senders


def test_room_that_appears_when_the_time_is_up_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender looks again before it gives up: the wake-up may have been for it."""
    mailbox = full(1)

    def too_late(self: Wakeup, timeout: float | None, *, give_way: bool) -> bool:
        take(mailbox)
        return False

    monkeypatch.setattr(Wakeup, "wait", too_late)
    mailbox.put("more", timeout=0)
    assert take(mailbox) == "more"


def test_nobody_waits_for_room_in_their_own_mailbox() -> None:
    """A worker that tells itself at the bound would wait for itself: it is told so."""
    mailbox = full(1)
    with pytest.raises(CallingSelfError, match="'box' would wait"):
        run_as_worker(StopToken(task=False), mailbox.put, 1, home=mailbox).result()
    with pytest.raises(MailboxFull):
        run_as_worker(StopToken(task=False), mailbox.put, 1, 0, home=full(1)).result()
    take(mailbox)
    run_as_worker(StopToken(task=False), mailbox.put, 1, home=mailbox).result()


# -- leaving the line -----------------------------------------------------------------


def test_a_task_that_is_stopped_leaves_the_line(sleepers: Recorder[Wakeup]) -> None:
    """A stop ends the wait for room of a task, and nothing of it stays behind."""
    mailbox, token = full(1), StopToken(task=True)
    sender = run_as_worker(token, mailbox.put, "more")
    sleepers.wait_for(1)
    token.ask(Shutdown(), monotonic() + 60)
    with pytest.raises(WorkerExit):
        sender.result()
    assert not mailbox.senders
    assert mailbox.pending == 1


def test_who_gives_way_is_told_of_the_stop(sleepers: Recorder[Wakeup]) -> None:
    """`wait_for_room(give_way=True)` returns whether there is room."""
    mailbox, token = full(1), StopToken(task=False)
    sender = run_as_worker(token, lambda: mailbox.wait_for_room(give_way=True))
    sleepers.wait_for(1)
    token.ask(Shutdown(), monotonic() + 60)
    assert not sender.result()
    assert not mailbox.senders
    take(mailbox)
    assert run_as_worker(token, lambda: mailbox.wait_for_room(give_way=True)).result()


def test_ctrl_c_leaves_nobody_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A main thread that is interrupted while it waits is forgotten."""

    def interrupt(wakeup: Wakeup) -> None:
        raise KeyboardInterrupt

    note_sleepers(monkeypatch, then=interrupt)
    mailbox = full(1)
    with pytest.raises(KeyboardInterrupt):
        mailbox.put("more")
    assert not mailbox.senders
    assert mailbox.pending == 1


def test_who_is_woken_and_interrupted_passes_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room made for a sender that leaves goes to the next: the consumer may sleep."""
    gate = Gate()
    first: list[Running[None]] = []

    def interrupt(wakeup: Wakeup) -> None:
        if first[0].is_current():
            gate.meet()
            raise KeyboardInterrupt

    sleepers = note_sleepers(monkeypatch, then=interrupt)
    mailbox, started = full(1), Gate()

    def put_when_started() -> None:
        started.meet()
        mailbox.put("first")

    first.append(run(put_when_started))
    started.open()
    gate.wait_reached()
    second = run(mailbox.put, "second")
    sleepers.wait_for(2)
    assert take(mailbox) == 0  # wakes the first, which stands at the gate
    assert len(mailbox.senders) == 1
    gate.open()
    with pytest.raises(KeyboardInterrupt):
        first[0].result()
    second.result()
    assert take(mailbox) == "second"


def test_who_is_woken_too_late_passes_it_on(sleepers: Recorder[Wakeup]) -> None:
    """Found full for the last time, woken then, gone: the next in the line is woken."""
    mailbox, gate = full(1), Gate()
    looks = 0

    def late() -> None:
        nonlocal looks
        if first.is_current():
            looks += 1
            if looks == 4:  # the last look, after the time is up
                gate.meet()

    Watched(mailbox, looked=late)
    ready = Gate()

    def put_when_ready() -> None:
        ready.meet()
        mailbox.put("first", 0.001)

    first = run(put_when_ready)
    ready.open()
    gate.wait_reached()
    second = run(mailbox.put, "second")
    sleepers.wait_for(2)
    assert take(mailbox) == 0
    gate.open()
    with pytest.raises(MailboxFull):
        first.result()
    second.result()
