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
        f"{name}_segments": side_by_side(
            picture,
            {result.title: coloured(picture, result) for result in tuned},
            f"{name}: the segments of both methods",
        ),
        f"{name}_outlines": figures.titled_images(
            [outlined(picture, result) for result in results],
            [result.title for result in results],
            f"{name}: the outlines of the segments",
            columns=columns(picture, 3),
        ),
        f"{name}_numbers": numbers(found),
        f"{name}_choice": choice(found),
        f"{name}_graph": figures.pixel_graph(
            *patch(picture, found.graph),
            f"{name}: pixels (grey values from 0 to 255) and the weights of their edges",
        ),
    }
    runs = {result.title: result for result in (*tuned, found.demonstration())}
    for result in runs.values():
        method = result.method.replace("-", "")
        drawn[f"{name}_seeds_{method}_{result.clusters}"] = side_by_side(
            picture,
            {f"run {n + 1}": coloured(picture, result, n) for n in range(len(result.runs))},
            f"{name}: {result.title}, from different random starts",
        )
    return drawn


def side_by_side(picture: Picture, parts: dict[str, NDArray], title: str) -> Figure:
    """Draw the image, and then named pictures of its segments, (H, W, 3)."""
    images = [picture.colour, *parts.values()]
    return figures.titled_images(
        images, ["the image", *parts], title, columns(picture, len(images))
    )


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


def coloured(picture: Picture, result: Segmentation, run: int = 0) -> NDArray[np.float64]:
    """Draw the segments that a run of a method found, on white: (H, W, 3).

    The colours of k-means show the order of the segments' mean grey values. Those of the other
    methods only tell segments that touch apart.
    """
    names, numbers = np.unique(result.runs[run], return_inverse=True)
    if result.method == "k-means":
        mean = np.bincount(numbers, picture.grey[picture.mask]) / np.bincount(numbers)
        ranks = np.argsort(np.argsort(mean))
        colours = matplotlib.colormaps["cividis"](ranks / max(1, len(names) - 1))[:, :3]
    else:
        ends = numbers[picture.edges()]
        colours = figures.map_colours(len(names), ends[ends[:, 0] != ends[:, 1]])
    image = np.ones_like(picture.colour)
    image[picture.mask] = colours[numbers]
    return image


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
    title = f"{found.picture.name}: both methods with each number of clusters"
    return figures.titled_images(images, titles, title, columns=2 if wide else len(found.cells))


def choice(found: Divided) -> Figure:
    """Draw the measures that choose the numbers of clusters."""
    meter = Meter(found.picture)
    contrasts = {
        name: {k: [c or np.nan for c in meter.contrasts(divisions[k])] for k in found.cells}
        for name, divisions in (("spectral", found.spectral), ("cells", found.cells))
    }
    parts = int(connected_components(found.graph)[0])
    return figures.cluster_choice(
        found.silhouettes,
        found.inertias,
        contrasts,
        found.eigenvalues,
        found.chosen,
        parts,
        f"{found.picture.name}: what chooses the numbers of clusters",
    )
