"""What a pool can do beyond that: flaky work, work that hangs, work that crashes."""

from __future__ import annotations

import itertools
import sys
import threading

from threadsup import Backoff, DeadLetter, Pool, Retry, WorkerExited

_calls = itertools.count(1)


class Connection:
    """Something that is dear to open, so each worker opens one and keeps it."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, question: str) -> str:
        """Answer; now and then only at the second attempt."""
        self.asked += 1
        if question == "flaky" and next(_calls) == 1:
            raise ConnectionError("try again")
        if question == "hang":
            threading.Event().wait()
        if question == "crash":
            sys.exit("the driver gave up")
        return question.upper()


def main() -> list[str]:
    """Return what became of each question."""
    lost: list[str] = []

    def keep(letter: DeadLetter) -> None:
        lost.append(letter.message.args[0])

    report = []
    with Pool(
        2,
        name="questions",
        init=Connection,
        retry=Retry(3, Backoff(0.01), on=ConnectionError),
        time_limit=0.2,
        on_dead_letter=keep,
    ) as pool:
        questions = ["plain", "flaky", "hang", "crash", "after"]
        answers = {question: pool.submit(Connection.ask, question) for question in questions}
        for question, future in answers.items():
            try:
                report.append(f"{question}: {future.result()}")
            except WorkerExited as error:
                report.append(f"{question}: {type(error.reason).__name__}")
        counts = pool.statistics()
    report.append(f"{counts.handled} handled, {counts.failed} failed, {counts.retried} retried")
    report.append(f"lost: {', '.join(sorted(lost))}")
    return report


if __name__ == "__main__":
    print("\n".join(main()))
