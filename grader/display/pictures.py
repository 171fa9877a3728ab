"""The pictures of a result page, drawn from arrays as matplotlib figures."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.util import montage
from sklearn.metrics import ConfusionMatrixDisplay

COLUMNS = 10


def reconstruction_rows(images: NDArray, recon: NDArray) -> Figure:
    """Draw originals, (N, H, W) in [0, 1], each above its reconstruction, in rows of ten."""
    pairs = np.concatenate([images, recon], axis=1)
    columns = min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    canvas = montage(pairs, fill=0, grid_shape=(rows, columns), padding_width=1)
    figure = Figure(figsize=(0.75 * columns + 0.2, 1.5 * rows + 0.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    return figure


def confusion_matrix(confusion: NDArray, classes: NDArray) -> Figure:
    """Draw counts, (K, K), of true class by predicted class."""
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    display = ConfusionMatrixDisplay(confusion, display_labels=classes)
    display.plot(ax=figure.subplots(), cmap="Blues", values_format="d")
    return figure
