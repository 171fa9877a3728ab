"""A Grade as one self-contained HTML page: scores, pictures, verdicts, outputs."""

import base64
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from .. import HOME
from ..assessment.grade import Example, Grade, Lesson
from . import lessons
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
    return png_url(content.getvalue())


def png_url(content: bytes) -> str:
    """Return the content of a PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def pixels_url(example: Example) -> str:
    """Return an example's image, and its reconstruction next to it, as a data URL, unchanged."""
    pair = [part for part in (example.image, example.reconstruction) if part is not None]
    content = io.BytesIO()
    grey = (255 * np.concatenate(pair, axis=1)).round().astype(np.uint8)
    Image.fromarray(grey).save(content, format="png")
    return png_url(content.getvalue())


def plane(lesson: Lesson) -> str | None:
    """Return the latent plane of a lesson as a data URL, if its latents are known."""
    figure = lessons.plane(lesson)
    return None if figure is None else embedded(figure)


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
        "pixels_url": pixels_url,
        "plane": plane,
        "meaning": lessons.meaning,
        "caption": lessons.caption,
        "markdown": lambda text: Markup(to_html(text)),  # which escapes what is not Markdown
    }
    return template.render(grade=grade, **helpers)
