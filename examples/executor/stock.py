"""Counts the words of some files with an executor of the standard library."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path


def count_words(path: Path) -> Counter[str]:
    """Return how often each word is in a file."""
    return Counter(path.read_text(encoding="utf-8").lower().split())


def longest_line(path: Path) -> int:
    """Return the length of the longest line of a file."""
    return max((len(line) for line in path.read_text(encoding="utf-8").splitlines()), default=0)


def main(paths: list[Path]) -> list[str]:
    """Return the lines of a report, and what could not be read."""
    report = []
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="words") as executor:
        futures: dict[Future[Counter[str]], Path] = {
            executor.submit(count_words, path): path for path in paths
        }
        for future in as_completed(futures):
            path = futures[future]
            try:
                words = future.result()
            except OSError as error:
                report.append(f"{path.name}: {type(error).__name__}")
            else:
                report.append(f"{path.name}: {words.total()} words")
                total += words

        readable = [path for path in paths if path.exists()]
        lengths = executor.map(longest_line, readable, timeout=60, chunksize=2)
        report += [
            f"{path.name}: longest line {length}"
            for path, length in zip(readable, lengths, strict=True)
        ]

        done, not_done = wait([executor.submit(longest_line, path) for path in readable])
        report.append(f"done {len(done)}, not done {len(not_done)}")

        async def in_a_loop() -> int:
            loop = asyncio.get_running_loop()
            counts = [loop.run_in_executor(executor, longest_line, path) for path in readable]
            return max(await asyncio.gather(*counts), default=0)

        report.append(f"longest of all {asyncio.run(in_a_loop())}")
    try:
        executor.submit(longest_line, paths[0])
    except RuntimeError:
        report.append("the executor was shut down")
    report += [f"{word}: {count}" for word, count in sorted(total.most_common(3))]
    return sorted(report)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("usage: name the files whose words are to be counted")
    print("\n".join(main([Path(name) for name in sys.argv[1:]])))
