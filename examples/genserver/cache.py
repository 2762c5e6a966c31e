"""A cache whose entries expire: typed requests, a timer for each entry, answers when it is time.

Run it: `python -m examples.genserver.cache`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadsup import GenServer, ReplyToken, Request, Supervisor, Timer

if TYPE_CHECKING:
    from threadsup import WorkerRef

__all__ = ["Cache", "Get", "Gone", "Put", "main"]


@dataclass(frozen=True)
class Get(Request[str | None]):
    """Asks for the value of a key, `None` if there is none, or none any more."""

    key: str


@dataclass(frozen=True)
class Gone(Request[bool]):
    """Asks to be told when a key is there no more."""

    key: str


@dataclass(frozen=True)
class Put:
    """To be cast: keeps a value for so many seconds."""

    key: str
    value: str
    seconds: float = 60.0


@dataclass(frozen=True)
class _Expired:
    key: str


class Cache(GenServer):
    """Keeps values for a time. State needs no lock: one thread at a time is in here."""

    def init(self) -> None:
        """Begin with nothing."""
        self._entries: dict[str, tuple[str, Timer]] = {}
        self._waiting: dict[str, list[ReplyToken]] = {}

    def handle_call(self, request: object) -> object:
        """Answer `Get` at once, and `Gone` when it is so."""
        match request:
            case Get(key):
                value, _ = self._entries.get(key, (None, None))
                return value
            case Gone(key) if key in self._entries:
                self._waiting.setdefault(key, []).append(self.defer())
                return None
            case Gone():
                return True
            case _:
                return super().handle_call(request)

    def handle_cast(self, message: object) -> None:
        """Keep a value; a newer one for the same key begins its time anew."""
        match message:
            case Put(key, value, seconds):
                if key in self._entries:
                    self._entries.pop(key)[1].cancel()
                self._entries[key] = value, self.send_after(seconds, _Expired(key))
            case _:
                super().handle_cast(message)

    def handle_info(self, message: object) -> None:
        """Forget what has expired. A timer that was cancelled never comes here."""
        match message:
            case _Expired(key):
                del self._entries[key]
                for token in self._waiting.pop(key, ()):
                    self.reply(token, value=True)
            case _:
                super().handle_info(message)


def main() -> None:
    """Keep two values, one of them for a moment."""
    with Supervisor("caching") as sup:
        cache: WorkerRef = sup.add_worker(Cache, id="cache")
        cache.cast(Put("page", "<html>"))
        cache.cast(Put("token", "secret", seconds=0.02))
        print("page:", cache.call(Get("page")))
        print("token gone:", cache.call(Gone("token")))
        print("token:", cache.call(Get("token")))
        cache.cast(Put("page", "<html>, again"))
        print("page:", cache.call(Get("page")))


if __name__ == "__main__":
    main()
