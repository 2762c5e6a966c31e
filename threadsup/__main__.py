"""`python -m threadsup`: the command line under another name.

Owns the call and nothing else. It must not know what the command does.
"""

from __future__ import annotations

import sys

from threadsup.cli import main

if __name__ == "__main__":
    sys.exit(main())
