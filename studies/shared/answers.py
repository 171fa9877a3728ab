"""Fill in the template of a study's answers with the numbers of a run.

A template is Markdown in Jinja: a section for each question of the assignment. The summary of the
run is its data, and the numbers decide which sentences it has. It can include other templates of
its folder.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import jinja2


def listed(values: Mapping[Any, float], form: str = ".2f") -> str:
    """List numbers with their names, for a sentence."""
    return ", ".join(f"{name}: {value:{form}}" for name, value in values.items())


ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,  # so that the text after an include starts on a new line
)
ENVIRONMENT.globals["mean"] = fmean
ENVIRONMENT.filters |= {"form": format, "listed": listed}


def fill(template: Path, summary: Mapping[str, Any]) -> str:
    """Return the answers as Markdown, with each paragraph on one line."""
    environment = ENVIRONMENT.overlay(loader=jinja2.FileSystemLoader(template.parent))
    text = environment.get_template(template.name).render(summary)
    return "\n\n".join(map(joined, text.strip().split("\n\n"))) + "\n"


def joined(block: str) -> str:
    """Join the lines of a paragraph; leave the rows of a table on their lines."""
    lines = block.strip().splitlines()
    return "\n".join(lines) if block.lstrip().startswith("|") else " ".join(map(str.strip, lines))
