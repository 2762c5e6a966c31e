"""A room with few seats: callers wait for one, and get it in the order in which they came.

Each call is answered when there is a seat, maybe much later, and meanwhile the server goes
on. A guest who sits for too long loses the seat.

Run it: `python -m examples.genserver.waiting`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from threadsup import GenServer, ReplyToken, Request, Supervisor, Timer

__all__ = ["Leave", "Room", "Sit", "Waiting", "main"]


@dataclass(frozen=True)
class Sit(Request[int]):
    """Asks for a seat; the answer is its number."""

    guest: str


class Waiting(Request[int]):
    """Asks how many wait."""


@dataclass(frozen=True)
class Leave:
    """To be cast: gives a seat back. Also what a timer sends when the time is up."""

    seat: int


class Room(GenServer):
    """Gives seats to callers, one each, as long as there are any."""

    def init(self, seats: int, longest: float) -> None:
        """Begin with all seats free; a guest may sit for `longest` seconds."""
        self._free = deque(range(seats))
        self._longest = longest
        self._taken: dict[int, Timer] = {}
        self._queue: deque[ReplyToken] = deque()

    def handle_call(self, request: object) -> object:
        """Answer `Waiting` at once, and `Sit` when there is a seat."""
        match request:
            case Sit():
                self._queue.append(self.defer())
                self._give_seats()
                return None
            case Waiting():
                return len(self._queue)
            case _:
                return super().handle_call(request)

    def handle_cast(self, message: object) -> None:
        """Take a seat back."""
        self.handle_info(message)

    def handle_info(self, message: object) -> None:
        """Take a seat back, as its guest has left or was there for too long."""
        match message:
            case Leave(seat) if seat in self._taken:
                self._taken.pop(seat).cancel()
                self._free.append(seat)
                self._give_seats()
            case _:
                super().handle_info(message)

    def _give_seats(self) -> None:
        while self._queue and self._free:
            seat = self._free.popleft()
            self._taken[seat] = self.send_after(self._longest, Leave(seat))
            self.reply(self._queue.popleft(), seat)


def main() -> None:
    """Three guests and two seats; then one who does not get up."""
    with Supervisor("room") as sup:
        room = sup.add_worker(Room, 2, 60.0, id="room")
        print("seats:", room.call(Sit("Ann")), room.call(Sit("Ben")))
        third = room.ask(Sit("Cleo"), block=False)
        print("waiting:", room.call(Waiting()))
        room.cast(Leave(0))
        print("Cleo has seat", third.result())

        hasty = sup.add_worker(Room, 1, 0.01, id="hasty")
        print("one seat:", hasty.call(Sit("Dan")), "and, in a moment,", hasty.call(Sit("Eve")))


if __name__ == "__main__":
    main()
