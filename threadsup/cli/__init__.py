"""The command line: `threadsup run`, `check`, `tree`, `doctor`, also as `python -m threadsup`.

Owns what a terminal sees: arguments, lines, exit codes, and the only signal handlers
besides those of `run_forever`. It must not know how a tree works: it uses the public
names as any program would.
"""

from __future__ import annotations

from threadsup.cli.command import main

__all__ = ["main"]
