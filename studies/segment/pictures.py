"""The pictures of `segment`: of each image, named after it."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import mark_boundaries

import figures
from studies.segment.division import Divided
from studies.segment.graph import patch
from studies.segment.images import Picture
from studies.segment.measures import Meter
from studies.segment.methods import Segmentation

ENLARGED = 4  # times; an outline is half a pixel wide
OUTLINE = (0.0, 0.9, 1.0)
WIDE = 1.5  # an image is, if its width is this many times its height


def draw(found: Divided) -> dict[str, Figure]:
    """Draw the pictures of one image and return them by name."""
    picture, name = found.picture, found.picture.name
    results = found.results()
    tuned = results[:2]
    drawn = {
        f"{name}_segments": maps(picture, tuned),
        f"{name}_outlines": figures.titled_images(
            [outlined(picture, result) for result in results],
            [result.title for result in results],
            columns=columns(picture, 3),
        ),
        f"{name}_numbers": numbers(found),
        f"{name}_choice": choice(found),
        f"{name}_graph": figures.pixel_graph(*patch(picture, found.graph)),
    }
    runs = {result.title: result for result in (*tuned, found.demonstration())}
    for result in runs.values():
        method = result.method.replace("-", "")
        seeds = [f"{result.title}, run {number}" for number in range(1, len(result.runs) + 1)]
        labels = [picture.in_place(run) for run in result.runs]
        drawn[f"{name}_seeds_{method}_{result.clusters}"] = figures.label_maps(
            picture.colour, labels, seeds
        )
    return drawn


def maps(picture: Picture, results: list[Segmentation]) -> Figure:
    """Draw label images as the assignment's demonstration does."""
    labels = [picture.in_place(result.runs[0]) for result in results]
    return figures.label_maps(picture.colour, labels, [result.title for result in results])


def columns(picture: Picture, images: int) -> int:
    """Return how many images to put in a row: all, or one if they are wide."""
    return 1 if picture.mask.shape[1] > WIDE * picture.mask.shape[0] else images


def outlined(picture: Picture, result: Segmentation) -> NDArray[np.float64]:
    """Draw the boundaries of the segments on the enlarged image: (ENLARGED * H, ..., 3)."""
    image, labels = (
        array.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        for array in (picture.colour, picture.in_place(result.runs[0]))
    )
    return mark_boundaries(image, labels, color=OUTLINE, mode="inner", background_label=-1)


def coloured(picture: Picture, result: Segmentation) -> NDArray[np.float64]:
    """Return the segments in the colours of the demonstration, on white: (H, W, 3)."""
    labels = picture.in_place(result.runs[0])
    shown = matplotlib.colormaps["rainbow"](labels / max(1, result.clusters - 1))[..., :3]
    return np.where(picture.mask[..., None], shown, 1.0)


def numbers(found: Divided) -> Figure:
    """Draw what both methods find with each number of clusters."""
    both = [found.kmeans, found.spectral]
    wide = columns(found.picture, 2) == 1
    images, titles = [], []
    places = [(method, k) for k in found.cells for method in both]
    if not wide:
        places = [(method, k) for method in both for k in found.cells]
    for method, k in places:
        result = method.get(k)
        images.append(coloured(found.picture, result) if result else np.ones((1, 1, 3)))
        titles.append(f"{result.method}, {k}" if result else "fewer grey values")
    return figures.titled_images(images, titles, columns=2 if wide else len(found.cells))


def choice(found: Divided) -> Figure:
    """Draw the measures that choose the numbers of clusters."""
    meter = Meter(found.picture)
    contrasts = {
        name: {k: [c or np.nan for c in meter.contrasts(divisions[k])] for k in found.cells}
        for name, divisions in (("spectral", found.spectral), ("cells", found.cells))
    }
    parts = int(connected_components(found.graph)[0])
    return figures.cluster_choice(
        found.silhouettes, found.inertias, contrasts, found.eigenvalues, found.chosen, parts
    )
