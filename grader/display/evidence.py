"""What people mark in a submission, as JSON: RUN/submissions/ID/evidence.json.

Texts are HTML that can do nothing, pictures are pixels that were encoded here.
"""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..assessment.grade import Grade, Section
from .markdown import to_html

QUALITY = 80  # of WebP


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Return a picture, (H, W, 3), as a data URL."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="webp", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()


def picture(name: str, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return a picture, (H, W, 3), with its size, as a data URL."""
    height, width = pixels.shape[:2]
    return {"name": name, "src": data_url(pixels), "width": width, "height": height}


def evidence(section: Section) -> dict[str, Any]:
    """Return what there is for one part: a text, what was printed, and pictures."""
    reference = section.reference
    return {
        "part": section.title,
        "html": to_html(section.text) if section.text else "",
        "printed": section.printed,
        "problem": section.problem,
        "pictures": [picture(name, pixels) for name, pixels in section.pictures],
        "reference": None if reference is None else picture("reference", reference),
    }


def all_evidence(grade: Grade) -> list[dict[str, Any]]:
    """Return what people mark in a submission, by part."""
    return [evidence(section) for section in grade.sections]
