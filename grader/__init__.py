"""Grade submissions of the course: `python -m grader --help` lists the commands.

Installed from the wheel, this package is called `vae_grader` and its command `vae-grader`.
"""

from pathlib import Path

__version__ = "0.2.0"

HOME = Path(__file__).resolve().parent
PROGRAM = "python -m grader" if __name__ == "grader" else "vae-grader"
