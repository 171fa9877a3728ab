"""The answers of a study, by question."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.shared.answers import answer

OPENING = "This run"
FINE = {
    "preset": "full",
    "steps": 1000,
    "own_steps": 1000,
    "problems": [],
    "passed": ["number of steps", "collapsed latents"],
}


def sections(template: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Fill in a template with the facts of a summary; return the answers by their identifiers.

    The run found nothing wrong with itself, unless the summary says otherwise. Pictures, and the
    names of functions to show, are left out.
    """
    module = importlib.import_module(f"studies.{template.parent.name}.facts")
    whole = {"checks": FINE, **summary, "facts": module.facts(summary)}
    text = re.sub(r"^(!\[|<!-- code).*\n+", "", answer(template, whole), flags=re.MULTILINE)
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert found.pop(OPENING)
    return found
