"""Conversion of formulas between dollar signs to MathML.

Browsers show MathML without a script or a font.
"""

import re
from typing import Any

from latex2mathml.converter import convert

# Code comes first, so that dollar signs in it are left alone.
PARTS = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Convert the formulas of a page; MkDocs calls this with each page."""

    def replace(match: re.Match[str]) -> str:
        code, block, inline = match.groups()
        if code:
            return code
        if block:
            return f"\n{convert(' '.join(block.split()), display='block')}\n"
        # Markdown treats a line that begins with <math> as a separate block.
        return f"<span>{convert(inline)}</span>"

    return PARTS.sub(replace, markdown)
