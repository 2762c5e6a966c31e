"""SIGINT and SIGTERM as calls in a thread of their own, while the tree runs.

Owns the handlers, put back afterwards, and the thread. It must not know what a
signal is taken to mean.

Why a thread and a socket: Python runs a handler in the main thread only, and a main
thread that waits on a lock runs it when the system interrupts that wait. But the
system may give a signal to any thread, and where threads are started all the time,
as in a tree that crashes a lot, it does: `pthread_create` blocks and unblocks all
signals, and the thread that unblocks them takes the one that is pending. The main
thread then sleeps on, and hears of the signal at the end of the run. The byte that
`set_wakeup_fd` has written, by whichever thread took the signal, wakes its reader at
once; and what the reader does is no code in a signal handler.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["calling", "raising"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_END = b"\0"


@contextmanager
def calling(signalled: Callable[[str], object]) -> Iterator[None]:
    """Call `signalled` with the name of each SIGINT and SIGTERM, inside the `with` block.

    It is called in a thread of its own, one signal after the other; the block waits for
    the last call at its end. To be entered in the main thread.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)  # a handler never waits

    def listen() -> None:
        while (byte := reader.recv(1)) != _END:
            if byte[0] in _SIGNALS:  # other signals of the process are written too
                signalled(signal.Signals(byte[0]).name)

    listener = threading.Thread(target=listen, name="corpus-signals", daemon=True)
    with reader, writer, _handled_by(lambda _number, _frame: None):
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        listener.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            writer.setblocking(True)
            writer.sendall(_END)
            listener.join()


@contextmanager
def raising() -> Iterator[None]:
    """Have SIGTERM, and SIGINT even where a shell has it ignored, raise KeyboardInterrupt."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def _handled_by(handler: Callable[..., object]) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, earlier in before.items():
            signal.signal(each, earlier)
