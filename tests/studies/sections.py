"""The answers of a study, by question."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies.shared.answers import fill


def sections(template: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Fill in a template; return the text of each answer by its identifier."""
    parts = re.split(r"^## (.*)$", fill(template, summary), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))
