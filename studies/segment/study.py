"""`segment`: images divided by k-means on their pixels, and by spectral clustering.

Both methods are tuned on each image, and judged against cells that do not look at grey values.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.sparse.csgraph import connected_components

from grader.errors import UserError
from studies.segment import measures, pictures
from studies.segment.division import DEMONSTRATION, Divided, divide
from studies.segment.facts import facts, problems
from studies.segment.images import read_pictures
from studies.segment.methods import Segmentation, pixel_features
from studies.segment.options import Options
from studies.shared.checks import checked
from studies.shared.runner import Findings, run_study

ANSWERS = Path(__file__).with_name("answers.md")
TITLE = "Image segmentation with k-means and spectral clustering"


def segment(before: list[str], after: list[str], usage: str) -> None:
    """Segment images, and answer the assignment's questions about them."""
    run_study(
        study, {"full": Options(), "quick": Options(preset="quick")}, TITLE, (before, after, usage)
    )


def study(options: Options, path: Path, _out: Path) -> Findings:
    """Do everything that the assignment requires with each image."""
    read = read_pictures(path)
    for picture in read:
        different = len(np.unique(pixel_features(picture, options.features), axis=0))
        if options.clusters and options.clusters > different:
            found = f"{options.clusters} clusters of {different} different pixels"
            raise UserError(picture.path, found, "as many different pixels as clusters")
    divided = [divide(picture, options) for picture in read]
    drawn: dict[str, Figure] = {}
    for image in divided:
        drawn |= pictures.draw(image)
    summary: dict[str, Any] = {
        "max_iter": options.max_iter,
        "features": options.features,
        "fixed": options.clusters is not None,
        "images": [summarise(image) for image in divided],
    }
    summary["facts"] = facts(summary)
    summary["checks"] = checked(options.preset, problems(summary))
    return Findings(summary, drawn, ANSWERS)


def summarise(found: Divided) -> dict[str, Any]:
    """Return the numbers that the answers quote."""
    picture, meter = found.picture, measures.Meter(found.picture)
    return {
        "name": picture.name,
        "height": picture.mask.shape[0],
        "width": picture.mask.shape[1],
        "pixels": int(picture.mask.sum()),
        "parts": int(connected_components(found.graph)[0]),
        "edges": len(meter.edges),
        "weight_smallest": float(found.graph.data.min()),
        "weight_median": float(np.median(found.graph.data)),
        "grey_levels": len(np.unique(meter.grey)),
        "common": meter.common(),
        "flat": meter.flat(),
        "silhouettes": {str(k): float(np.mean(v)) for k, v in found.silhouettes.items()},
        "inertias": found.inertias,
        "iterations_enough": measures.enough(found.inertias),
        "contrasts": {
            name: {str(k): meter.contrasts(divisions[k]) for k in sorted(found.cells)}
            for name, divisions in (("spectral", found.spectral), ("cells", found.cells))
        },
        "chosen": found.chosen,
        "demonstration": {
            "clusters": DEMONSTRATION,
            "changed": measures.changed(found.demonstration().runs),
        },
        "results": [described(result, meter) for result in found.results()],
    }


def described(result: Segmentation, meter: measures.Meter) -> dict[str, Any]:
    """Return the measures of a segmentation: of its first run, and over all runs."""
    contrasts = meter.contrasts(result)
    explained = [meter.measure(labels).explained for labels in result.runs]
    return asdict(meter.measure(result.runs[0])) | {
        "method": result.method,
        "clusters": result.clusters,
        "contrasts": [min(contrasts), max(contrasts)],
        "explained": [min(explained), max(explained)],
        "changed": measures.changed(result.runs),
        "seconds": float(np.median(result.seconds)),
    }
