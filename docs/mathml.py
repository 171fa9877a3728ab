"""Conversion of a page's formulas to MathML, which browsers show without a script or a font.

`pymdownx.arithmatex` finds the formulas in the Markdown, in tables and lists too, and leaves code
alone.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.+?)\\[)\]]</\1>', re.DOTALL)
# The converter writes functions as if they were variables, which leaves no space around them.
FUNCTION = re.compile(r"<mi>(log|exp|min|max|softmax)</mi>(?=(<mo stretchy=\"false\">&#x00028;)?)")


def spaced(function: re.Match[str]) -> str:
    """Return a function's name with the usual space on both sides, none before a bracket."""
    name, bracket = function.groups()
    return f'<mo lspace="0.17em" rspace="{"0" if bracket else "0.17em"}">{name}</mo>'


def to_mathml(formula: re.Match[str]) -> str:
    """Return the MathML of a formula that arithmatex found."""
    tag, latex = formula.groups()
    display = "inline" if tag == "span" else "block"
    mathml = convert(" ".join(html.unescape(latex).split()), display=display)
    return f'<{tag} class="formula">{FUNCTION.sub(spaced, mathml)}</{tag}>'


def on_page_content(content: str, **_: Any) -> str:
    """Convert the formulas of a page; MkDocs calls this with the HTML of each page."""
    return FORMULA.sub(to_mathml, content)
