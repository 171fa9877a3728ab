"""Lessons for the result page: what measures mean, captions of examples, the latent plane."""

import numpy as np
from matplotlib.figure import Figure

from ..assessment.grade import Example, Lesson
from .results import label

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = "os^Dv<>P"
MEANINGS = {
    "one_minus_mse": (
        "It is 1 minus the mean squared difference of the pixels. Most pixels are black and easy, "
        "and even a blank image gets about 0.9, so the third decimal counts. Bright strokes in the "
        "wrong place cost most."
    ),
    "ssim": (
        "It compares mean, contrast and structure in every window of 7 x 7 pixels. Blurred strokes "
        "cost much, and so does faint noise on the black background, which the squared error "
        "hardly sees."
    ),
    "accuracy": "It is the share of images with the right class.",
    "macro_f1": (
        "It is the mean of the classes' F1, the harmonic mean of precision and recall. A rare "
        "class counts as much as a common one, so the weakest class is worth the most work."
    ),
    "micro_f1": (
        "It is the F1 of the counts of all classes together, here the same as the accuracy. Every "
        "image counts the same, so the most frequent mistake is worth the most work."
    ),
}


def meaning(name: str) -> str:
    """Return what a measure means; a library's measure is explained by its own documentation."""
    return MEANINGS.get(
        name, "It is a library's measure, which the library's documentation explains."
    )


def caption(example: Example) -> str:
    """Return what is known about an example, in a line."""
    words = [f"image {example.number}"]
    if example.predicted is not None:
        words.append(f"is {example.truth}, was taken for {example.predicted}")
    elif example.truth is not None:
        words.append(f"class {example.truth}")
    words += [f"{label(name)} {value:.3f}" for name, value in example.values.items()]
    if example.z is not None:
        words.append(f"z = ({example.z[0]:.2f}, {example.z[1]:.2f})")
    return ", ".join(words)


def plane(lesson: Lesson) -> Figure | None:
    """Draw the latents of all images, if they are known, and mark the examples by their numbers."""
    if lesson.latents is None:
        return None
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    labels = np.zeros(len(lesson.latents), int) if lesson.labels is None else lesson.labels
    for i, name in enumerate(np.unique(labels)):
        x, y = lesson.latents[labels == name].T
        known = "images" if lesson.labels is None else f"class {name}"
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.scatter(x, y, s=9, alpha=0.5, linewidths=0, color=colour, marker=marker, label=known)
    for example in lesson.examples:
        assert example.z is not None
        axes.plot(*example.z, "o", markersize=9, color="black", fillstyle="none")
        axes.annotate(
            str(example.number), example.z, (6, 4), textcoords="offset points", fontsize=8
        )
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_aspect("equal", adjustable="datalim")
    figure.legend(loc="outside upper center", ncols=4, markerscale=2)
    return figure
