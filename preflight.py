"""Stop with one line if this Python cannot run vae.py, and set how its threads wait.

This module is imported before anything else, because OpenMP reads its settings when torch loads it.
It is written so that an older Python can read it too.
"""

from __future__ import annotations

import importlib.util
import os
import sys

PACKAGES = ("numpy", "torch")
# Spins of a waiting thread before it sleeps. With OpenMP's default of 300,000, the waiting threads
# of one program, such as a study, take the cores from another's.
SPINS = "1000"


def problem() -> str | None:
    """Return what this Python lacks and what to do about it, or None."""
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:2]))
        return f"Python {found}; expected Python 3.11 or later"
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        found = f"{sys.executable} has no {' and no '.join(missing)}"
        return f"{found}; expected an active environment made by 'sh install.sh' or 'make demo'"
    return None


PROBLEM = problem()
if PROBLEM:
    sys.stderr.write(f"vae.py: {PROBLEM}\n")
    sys.exit(2)
os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
