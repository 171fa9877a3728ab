"""A Grade as one self-contained HTML page: scores, pictures, verdicts, outputs."""

import base64
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from .. import HOME
from ..assessment.grade import Grade
from . import pictures as drawings
from .evidence import data_url
from .markdown import to_html
from .results import label, mark_text, seconds_text, summary_text

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HOME / "templates"),
    autoescape=True,  # names, messages and outputs are untrusted
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def embedded(figure: Figure) -> str:
    """Return a figure as a data URL, to embed it in the page."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def pictures(grade: Grade) -> dict[str, str]:
    """Draw the pictures for which there is data; return them by caption."""
    kept = grade.pictures
    found = {}
    if kept.originals is not None and kept.reconstructions is not None:
        recon = np.clip(kept.reconstructions, 0, 1)
        figure = drawings.reconstruction_rows(kept.originals, recon)
        found["Originals, each above its reconstruction"] = embedded(figure)
    if kept.confusion is not None:
        figure = drawings.confusion_matrix(kept.confusion, np.array(kept.classes))
        found["True class (row) by predicted class (column)"] = embedded(figure)
    return found


def render(grade: Grade) -> str:
    """Return the page as HTML."""
    template = ENVIRONMENT.get_template("result.html")
    helpers: dict[str, Any] = {
        "label": label,
        "scored": any(mark.parts for mark in grade.marks),
        "seconds_text": seconds_text,
        "mark_text": mark_text,
        "summary": summary_text(grade).splitlines(),
        "pictures": pictures(grade),
        "data_url": data_url,
        "markdown": lambda text: Markup(to_html(text)),  # which escapes what is not Markdown
    }
    return template.render(grade=grade, **helpers)
