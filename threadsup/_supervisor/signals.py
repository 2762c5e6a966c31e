"""SIGINT and SIGTERM for scripts: stop in order, then stop sooner.

Owns the handlers, which are installed only while a script waits in the main
thread, and put back after. It must not know what stopping means.

Why a thread and a socket: Python runs a handler in the main thread only, and a main
thread that waits on a lock gets to it when the system interrupts that very wait. But
the system may give a signal to any thread, and does so where threads are started all
the time, as in a tree that crashes a lot: starting one blocks and unblocks all
signals, and who unblocks them takes what is pending. The main thread would hear of it
when it has nothing left to wait for. `set_wakeup_fd` has a byte written by whichever
thread took the signal, and who reads it is awake at once.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HURRY", "stopping_on_signals"]

HURRY = 1.0
"""Seconds that a second signal leaves for the stop."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_END = b"\0"


@contextmanager
def stopping_on_signals(stop: Callable[[str, float | None], object]) -> Iterator[None]:
    """Call `stop(name, limit)` at SIGINT and SIGTERM; the limit is `None` at first.

    In a thread of its own, one signal after the other. Does nothing outside the main
    thread, where Python installs no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)  # a handler never waits

    def listen() -> None:
        limit: float | None = None
        while (byte := reader.recv(1)) != _END:
            if byte[0] in _SIGNALS:  # other signals of the process are written too
                stop(signal.Signals(byte[0]).name, limit)
                limit = HURRY

    listener = threading.Thread(target=listen, name="threadsup-signals", daemon=True)
    with reader, writer, _handlers_that_do_nothing():
        earlier = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        listener.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier)
            writer.setblocking(True)
            writer.sendall(_END)
            listener.join()


@contextmanager
def _handlers_that_do_nothing() -> Iterator[None]:
    """Keep Python's own reactions away; the byte has been written before they run."""
    before = [signal.signal(number, lambda *_: None) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, old in zip(_SIGNALS, before, strict=True):
            # `None`: it was installed by C code, and cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if old is None else old)
