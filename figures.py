"""Functions that plot arrays and return a matplotlib Figure, which the caller saves.

Functions with a `figure` argument draw in it, such as a part of a page; without one they make
their own.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with any colour vision. Two
# colours from Paul Tol, "Colour Schemes" (2021), make them ten.
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"),
    *("#D55E00", "#F0E442", "#000000", "#AA4499", "#999933"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
MOST_MARKERS = 2000  # in a panel
SHORTEST_RANGE = 4  # epochs


def reconstruction_rows(
    images: NDArray, recon: NDArray, columns: int = 10, figure: Figure | None = None
) -> Figure:
    """Plot originals, (N, H, W) in [0, 1], each above its reconstruction, `columns` per row."""
    blocks = -(-len(images) // columns)
    columns = min(columns, len(images))
    size = 0.75 * columns + 0.9, 1.6 * blocks + 0.2
    figure = figure or Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for i, pair in enumerate(zip(images, recon, strict=True)):
        row, column = 2 * (i // columns), i % columns
        for offset, image in enumerate(pair):
            axes[row + offset, column].imshow(image, cmap="gray", vmin=0, vmax=1)
    for row, label in enumerate(["original", "recon."] * blocks):
        axes[row, 0].text(
            -0.15, 0.5, label, transform=axes[row, 0].transAxes, ha="right", va="center"
        )
    return figure


def manifold(images: NDArray, x: NDArray, y: NDArray, figure: Figure | None = None) -> Figure:
    """Plot decoded images, (len(y), len(x), H, W), at the latents (x, y); y grows upwards."""
    rows, columns, height, width = images.shape
    canvas = images[::-1].transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    figure = figure or Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas, cmap="Greys_r", vmin=0, vmax=1)
    ticks = np.linspace(0, columns - 1, 5).round().astype(int)
    axes.set_xticks((ticks + 0.5) * width, [f"{x[i]:.2f}" for i in ticks])
    ticks = np.linspace(0, rows - 1, 5).round().astype(int)
    axes.set_yticks((rows - ticks - 0.5) * height, [f"{y[i]:.2f}" for i in ticks])
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    return figure


def latent_plane(
    x: NDArray,
    y: NDArray,
    points: tuple[NDArray, NDArray] | None = None,
    images: NDArray | None = None,
    title: str = "",
) -> Figure:
    """Plot a plane of latents: points by class, images decoded on a grid, or both side by side.

    `x`, `y`: the grid's equidistant values. All panels have the same axes, and each cell of the
    grid has its value in its middle. `points`: (N, 2), and the names of their classes, (N,).
    `images`: (len(y), len(x), H, W) in [0, 1].
    """
    panels = (points is not None) + (images is not None)
    figure = Figure(figsize=(6.5 * panels, 6), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    # The axes start half a step before the first value and end half a step after the last.
    ends = [(1.5 * v[0] - 0.5 * v[1], 1.5 * v[-1] - 0.5 * v[-2]) for v in (x, y)]
    for axis in axes:
        axis.set(xlim=ends[0], ylim=ends[1], xlabel="$z_1$", ylabel="$z_2$")
    if points is not None:
        scatter_classes(axes[0], *points)
        legend_above(axes[0])
    if images is not None:
        rows, columns, height, width = images.shape
        canvas = images.transpose(0, 2, 1, 3)[::-1].reshape(rows * height, columns * width)
        axes[-1].imshow(
            canvas, cmap="gray", vmin=0, vmax=1, extent=(*ends[0], *ends[1]), aspect="auto"
        )
    figure.suptitle(title)
    return figure


def planes(
    panels: Mapping[str, tuple[NDArray, NDArray]],
    title: str,
    columns: int,
    marked: tuple[str, NDArray[np.bool_]] | None = None,
) -> Figure:
    """Plot named planes of points, (N, 2), by their classes, (N,); those of class "" are grey.

    The planes below each other have the same classes. `marked`: a name for some of the points,
    which are drawn large and outlined, and which, (N,).
    """
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 4 * rows + 1), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (name, (points, classes)) in zip(axes.flat, panels.items(), strict=False):
        names = [label for label in np.unique(classes) if label]
        label, large = marked or ("", np.zeros(len(classes), bool))
        grey = classes == ""
        if grey.any():
            sizes = np.where(large[grey], 60, 9)
            axis.scatter(*points[grey].T, s=sizes, color="0.8", linewidths=0)
        scatter_classes(axis, points[~large], classes[~large], names=names)
        if marked:
            of_class = f"{{}}, {label}"
            scatter_classes(axis, points[large], classes[large], of_class, True, names)
        axis.set_title(name)
        axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis in axes.flat[max(0, len(panels) - columns) : len(panels)]:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False)
    figure.suptitle(title)
    return figure


def feature_maps(
    sizes: Mapping[int, tuple[Sequence[tuple[int, ...]], Sequence[tuple[int, ...]]]],
) -> Figure:
    """Plot the shapes of feature maps through encoder and decoder, for each side of the input.

    A shape is (depth, height, width) or (nodes,). A map is drawn as high as the square root of its
    height; the numbers below it are its shape.
    """
    panels = [
        (side, part, shapes) for side, both in sizes.items() for part, shapes in enumerate(both)
    ]
    figure = Figure(figsize=(13, 2.4 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (side, part, shapes) in zip(axes, panels, strict=True):
        for place, shape in enumerate(shapes):
            depth, height = (shape[0], shape[1]) if len(shape) == 3 else (1, shape[0] / 8)
            size, width = np.sqrt(height), 0.08 + 0.06 * np.log2(depth)
            colour = COLOURS[part] if len(shape) == 3 else "0.6"
            axis.bar(place, size, width, bottom=-size / 2, color=colour, alpha=0.8)
            words = (
                " x ".join(map(str, (*shape[1:], shape[0]))) if len(shape) == 3 else f"{shape[0]}"
            )
            axis.text(place, -size / 2 - 0.8, words, ha="center", va="top", fontsize=8)
        axis.set(xlim=(-0.7, 9.7), ylim=(-10, 8))
        axis.set_title(f"{('encoder', 'decoder')[part]}, input {side} x {side}", fontsize=9)
        axis.axis("off")
    figure.suptitle("Feature maps: height x width x depth from layer to layer")
    return figure


def scatter_classes(
    axes: Axes,
    z: NDArray,
    classes: NDArray,
    name: str = "{}",
    outlined: bool = False,
    names: Sequence[str] | None = None,
) -> None:
    """Plot (N, 2) latents, each with the colour and the marker of its class, (N,).

    Plots a random `MOST_MARKERS` of them if there are more, because markers that cover each other
    cannot be told apart. `name`: the pattern of a class's name in the legend. `outlined`: larger,
    above the others. `names`: the classes in the order of their colours, if there are others than
    those of these latents.
    """
    if len(z) > MOST_MARKERS:
        chosen = np.random.default_rng(0).permutation(len(z))[:MOST_MARKERS]
        z, classes = z[chosen], classes[chosen]
    size = float(np.clip(30_000 / max(len(z), 1), 9, 30))
    for i, label in enumerate(np.unique(classes) if names is None else names):
        own = z[classes == label]
        if not len(own):
            continue
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=60 if outlined else size,
            alpha=1 if outlined else 0.8,
            linewidths=1.2 if outlined else 0.3,
            edgecolors="black" if outlined else "0.2",
            zorder=3 if outlined else 1,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            label=name.format(label),
            rasterized=True,
        )
    axes.set(xlabel="$z_1$", ylabel="$z_2$")


def legend_above(axes: Axes, title: str | None = None) -> None:
    """Add a legend above the axes, where it covers nothing."""
    axes.legend(
        title=title,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=5,
        frameon=False,
        markerscale=1.8,
        columnspacing=1.2,
        handletextpad=0.2,
    )


def latent_scatter(
    z: NDArray, known: NDArray, labels: NDArray, figure: Figure | None = None
) -> Figure:
    """Plot posterior means of images, (N, 2), and over them the few with `labels`, (M, 2)."""
    figure = figure or Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    scatter_unlabelled(axes, z)
    scatter_classes(axes, known, labels, "digit {}")
    axes.set_aspect("equal", adjustable="datalim")
    legend_above(axes)
    return figure


def scatter_unlabelled(axes: Axes, z: NDArray) -> None:
    """Plot (N, 2) latents of unknown class."""
    size = float(np.clip(30_000 / len(z), 2, 30))
    alpha = 0.9 if len(z) < 1000 else 0.5
    axes.scatter(
        z[:, 0],
        z[:, 1],
        s=size,
        alpha=alpha,
        linewidths=0,
        color="0.6",
        label="images",
        rasterized=True,
    )
    axes.set(xlabel="$z_1$", ylabel="$z_2$")


def mixture_ellipses(
    z: NDArray,
    means: NDArray,
    covariances: NDArray,
    component_labels: NDArray,
    labels: NDArray | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Plot the mixture's Gaussians as 1, 2 and 3 sigma ellipses over latents.

    `means`: (K, 2). `covariances`: (K, 2, 2).
    """
    figure = figure or Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    if labels is None:
        scatter_unlabelled(axes, z)
    else:
        scatter_classes(axes, z, labels, "digit {}")
    axes.set_aspect("equal", adjustable="datalim")
    for k, mean in enumerate(means):
        variances, directions = np.linalg.eigh(covariances[k])
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        for sigma in (1, 2, 3):
            along, across = 2 * sigma * np.sqrt(variances[::-1])
            axes.add_patch(
                Ellipse(mean, along, across, angle=angle, fill=False, linewidth=1.2, color="black")
            )
        axes.plot(*mean, "k+", markersize=10)
        axes.annotate(
            f"{component_labels[k]}",
            mean,
            fontsize=14,
            fontweight="bold",
            xytext=(5, 5),
            textcoords="offset points",
        )
    legend_above(axes, title="ellipses: 1, 2 and 3 sigma")
    return figure


# The columns of a training history, with their units.
LOSSES = {
    "reconstruction": "squared error per image",
    "kl": "KL divergence (nats)",
    "ssim": "SSIM",
    "cross_entropy": "cross-entropy of the cell (nats)",
    "cross_entropy_near": "cross-entropy within it (nats)",
}


def loss_curves(history: Mapping[str, NDArray], figure: Figure | None = None) -> Figure:
    """Plot each column of a training history, (epochs,), against the epoch, in its own panel.

    A dotted line marks the end of each stage of training, after which other losses are known.
    """
    names = [name for name in history if name != "epoch"]
    known = np.isfinite([history[name] for name in names])
    stages = history["epoch"][:-1][(known[:, 1:] != known[:, :-1]).any(axis=0)] + 0.5
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = figure or Figure(figsize=(3.2 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    for axes in panels[len(names) :]:
        axes.remove()
    for axes, name in zip(panels, names, strict=False):
        axes.plot(history["epoch"], history[name], color=COLOURS[0], marker=".", markersize=3)
        for end in stages:
            axes.axvline(end, color="0.4", linestyle=":", linewidth=1)
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
        axes.set_title(LOSSES.get(name, name), fontsize="medium")
        if name != "ssim":
            on_log_scale(axes)
        axes.grid(alpha=0.3)
    return figure


def on_log_scale(axes: Axes) -> None:
    """Put curves on a logarithmic scale, unless a value is not positive."""
    low, high = axes.dataLim.intervaly
    if low <= 0:
        return
    axes.set_yscale("log")
    if high < 10 * low:  # powers of ten, with their doubles and halves, would be too few
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def image_grid(
    rows: Sequence[NDArray], title: str, names: Sequence[str] = (), columns: Sequence[str] = ()
) -> Figure:
    """Plot rows of images, (C, H, W) or (C, H, W, 3) in [0, 1] each.

    `names`: of the rows. `columns`: of the columns.
    """
    most, (height, width) = max(map(len, rows)), rows[0].shape[1:3]
    gap = max(1, width // 14)
    # One canvas draws much faster than many axes.
    canvas = np.ones((len(rows) * (height + gap), most * (width + gap), *rows[0].shape[3:]))
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    # Inches: 0.8 for an image's height, 0.1 for a character of a row's name.
    across = 0.8 * most * (width + gap) / (height + gap)
    across = max(across + 0.6 + 0.1 * max(map(len, names), default=0), 0.1 * len(title))
    axes = Figure(figsize=(across, 0.8 * len(rows) + 0.7), layout="constrained").subplots()
    axes.set_anchor("E")  # the rest of the width is for the names
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1)
    axes.set_yticks([(row + 0.5) * (height + gap) for row in range(len(names))], list(names))
    places = [(column + 0.5) * (width + gap) for column in range(len(columns))]
    axes.set_xticks(places, list(columns), fontsize=8)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    figure = figure_of(axes)
    figure.suptitle(title)
    return figure


def figure_of(axes: Axes) -> Figure:
    """Return the figure that holds these axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def curves(
    panels: Mapping[str, Mapping[str, NDArray]],
    title: str,
    unit: str = "epoch",
    steps: float = 1,
    linear: Sequence[str] = (),
) -> Figure:
    """Plot one panel for each quantity, with its values over the epochs, (epochs,), for each run.

    An epoch counts for `steps` of the `unit` along the horizontal axis. `linear`: the quantities
    whose scale is not logarithmic.
    """
    across = max(4.2 * len(panels), 0.1 * len(title))
    figure = Figure(figsize=(across, 4), layout="constrained")
    styles = styles_of(panels)
    for axes, (name, runs) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        draw_runs(axes, runs, styles, steps, steps)
        axes.set(xlabel=unit, ylabel=name)
        if name not in linear:
            on_log_scale(axes)
    legend_below(figure)
    figure.suptitle(title)
    return figure


def styles_of(panels: Mapping[str, Mapping[str, NDArray]]) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each run, the same in all panels."""
    runs = dict.fromkeys(run for own in panels.values() for run in own)
    styles = zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False)
    return dict(zip(runs, styles, strict=False))


def draw_runs(
    axes: Axes,
    runs: Mapping[str, NDArray],
    styles: Mapping[str, tuple[str, str]],
    first: float,
    step: float = 1,
) -> None:
    """Plot the values over the epochs, (epochs,), of each run, at places from `first` on."""
    for run, values in runs.items():
        places = first + step * np.arange(len(values))
        every, (colour, marker) = max(1, len(values) // 10), styles[run]
        axes.plot(places, values, color=colour, marker=marker, markevery=every, ms=4, label=run)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def legend_below(figure: Figure) -> None:
    """Put one legend for all panels below them, where it covers nothing."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    columns = max(1, int(figure.get_figwidth() / (0.7 + 0.1 * max(map(len, handles)))))
    columns = min(columns, len(handles))
    figure.legend([*handles.values()], [*handles], loc="outside lower center", ncols=columns)


def curves_in_ranges(
    panels: Mapping[str, Mapping[str, NDArray]], title: str, ranges: int
) -> Figure:
    """Plot a row for each quantity and a column for each of at most `ranges` ranges of the epochs.

    A range has at least SHORTEST_RANGE epochs, or all of them. `panels`: the positive values over
    the epochs, (epochs,), of each run of each quantity.
    """
    epochs = max(len(values) for runs in panels.values() for values in runs.values())
    ranges = max(1, min(ranges, epochs // SHORTEST_RANGE))
    ends = np.linspace(0, epochs, ranges + 1).round().astype(int)
    size = max(6, 4.2 * ranges), 2.6 * len(panels) + 1
    styles = styles_of(panels)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(panels), ranges, squeeze=False)
    for row, (name, runs) in zip(axes, panels.items(), strict=True):
        for axis, (first, last) in zip(row, itertools.pairwise(ends), strict=True):
            shown = {run: values[first:last] for run, values in runs.items()}
            draw_runs(axis, shown, styles, first + 1)
            axis.set(xlabel="epoch", ylabel=name)
            axis.set_title(f"epochs {first + 1} to {last}", fontsize=9)
            on_log_scale(axis)
    legend_below(figure)
    figure.suptitle(title)
    return figure


def number_grids(grids: Mapping[str, Sequence[Sequence[int]]], title: str) -> Figure:
    """Plot named tables of whole numbers side by side; 0 is empty, and the rest is shaded."""
    figure = Figure(figsize=(2.6 * len(grids), 3.3), layout="constrained")
    for axis, (name, rows) in zip(figure.subplots(1, len(grids)), grids.items(), strict=True):
        values = np.array(rows)
        axis.imshow(values > 0, cmap="Blues", vmin=0, vmax=2)
        for (row, column), value in np.ndenumerate(values):
            axis.text(column, row, f"{value}", ha="center", va="center", fontsize=13)
        axis.set_xticks(np.arange(0.5, values.shape[1] - 1), [])
        axis.set_yticks(np.arange(0.5, values.shape[0] - 1), [])
        axis.grid(color="black")
        axis.tick_params(length=0)
        axis.set_title(name)
    figure.suptitle(title)
    return figure


def labelled_points(
    x: Sequence[float], y: Sequence[float], names: Sequence[str], title: str
) -> Axes:
    """Plot points joined in their order, each with its name; return the axes, for their labels."""
    axes = Figure(figsize=(5.4, 4), layout="constrained").subplots()
    axes.set_title(title)
    axes.plot(x, y, marker="o", color=COLOURS[0])
    for place, name in zip(zip(x, y, strict=True), names, strict=True):
        axes.annotate(name, place, xytext=(6, 6), textcoords="offset points")
    axes.margins(0.35, 0.15)
    axes.grid(alpha=0.3)
    return axes


def confusion_matrix(confusion: NDArray, classes: NDArray, figure: Figure | None = None) -> Figure:
    """Plot counts, (K, K), of true class by predicted class; each row is shaded by its shares."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = figure or Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), [str(label) for label in classes])
    axes.set_yticks(range(len(classes)), [str(label) for label in classes])
    axes.set(xlabel="predicted digit", ylabel="true digit")
    figure.colorbar(image, label="share of the true digit")
    return figure


def map_colours(count: int, adjacent: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a colour, (count, 3), for each of `count` segments, as on a map.

    `adjacent`: pairs of segments, (N, 2), which get different colours as long as COLOURS suffice.
    Segments with most neighbours choose first, and each takes the colour that is used least.
    """
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for one, other in np.unique(adjacent, axis=0).tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)
    chosen: dict[int, int] = {}
    for segment in sorted(range(count), key=lambda one: -len(neighbours[one])):
        taken = [chosen.get(one) for one in neighbours[segment]]
        used = Counter(chosen.values())
        chosen[segment] = min(range(len(COLOURS)), key=lambda one: (one in taken, used[one]))
    return np.array([to_rgb(COLOURS[chosen[segment]]) for segment in range(count)])


def titled_images(
    images: Sequence[NDArray], titles: Sequence[str], title: str, columns: int
) -> Figure:
    """Plot images, (H, W, 3) in [0, 1], each under its title, `columns` per row."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    across = 12 / columns if columns > 2 else 5  # inches
    size = across * columns, rows * (across * height / width + 0.3) + 0.3
    figure = Figure(figsize=size, layout="constrained")
    for axis, image, own in itertools.zip_longest(
        figure.subplots(rows, columns, squeeze=False).flat, images, titles
    ):
        axis.axis("off")
        if image is not None:
            axis.imshow(image, interpolation="nearest")
            axis.set_title(own, fontsize=9)
    figure.suptitle(title)
    return figure


def cluster_choice(
    silhouettes: Mapping[int, Sequence[float]],
    inertias: Sequence[float],
    contrasts: Mapping[str, Mapping[int, Sequence[float]]],
    eigenvalues: NDArray,
    chosen: Mapping[str, int],
    parts: int,
    title: str,
) -> Figure:
    """Plot what chooses the numbers of clusters of k-means and of spectral clustering.

    `silhouettes` and `contrasts`: those of several runs by number of clusters, the latter by
    method, NaN where no boundary is. `chosen`: the numbers by method. `parts`: those of the graph,
    whose eigenvalues are 0.
    """
    figure = Figure(figsize=(10, 7.4), layout="constrained")
    axes = figure.subplots(2, 2).flat
    ranges(axes[0], silhouettes, "k-means", 0)
    axes[0].axvline(chosen["k-means"], color="black", linestyle=":", label="chosen")
    axes[0].set(xlabel="clusters of k-means", ylabel="silhouette")
    axes[1].plot(range(1, len(inertias) + 1), inertias, marker="o", color=COLOURS[0])
    axes[1].set_xlabel(f"iterations of k-means, {chosen['k-means']} clusters")
    axes[1].set_ylabel("sum of squared distances")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for number, (name, values) in enumerate(contrasts.items()):
        ranges(axes[2], values, name, number)
    axes[2].axvline(chosen["spectral"], color="black", linestyle=":", label="chosen")
    axes[2].set(xlabel="clusters", ylabel="contrast across boundaries")
    axes[3].plot(range(1, len(eigenvalues) + 1), eigenvalues, marker=".", color=COLOURS[0])
    axes[3].axvline(parts + 0.5, color="black", linestyle=":", label=f"{parts} parts of the graph")
    axes[3].set(xlabel="eigenvalue of the normalised Laplacian, in order", ylabel="eigenvalue")
    for axis in axes:
        axis.grid(alpha=0.3)
    for axis in (axes[0], axes[2], axes[3]):
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    figure.suptitle(title)
    return figure


def ranges(axes: Axes, values: Mapping[int, Sequence[float]], name: str, number: int) -> None:
    """Plot the mean of several runs against a number, with the range of the runs."""
    spread = [(min(runs), float(np.mean(runs)), max(runs)) for runs in values.values()]
    low, mean, high = zip(*spread, strict=True)
    places = list(values)
    axes.plot(places, mean, marker=MARKERS[number], color=COLOURS[number], label=name)
    axes.fill_between(places, low, high, color=COLOURS[number], alpha=0.2)


def pixel_graph(grey: NDArray, right: NDArray, down: NDArray, title: str) -> Figure:
    """Plot pixels, (H, W) in [0, 1], as nodes, with the weights on their edges.

    `right`: weights of the edges to the right, (H, W - 1). `down`: of those down, (H - 1, W). NaN
    where there is no edge.
    """
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, alpha=0.6)
    for weights, step in ((right, (0, 1)), (down, (1, 0))):
        for (row, column), weight in np.ndenumerate(weights):
            if np.isnan(weight):
                continue
            end = row + step[0], column + step[1]
            ends = [column, end[1]], [row, end[0]]
            axes.plot(*ends, color=COLOURS[5], linewidth=0.5 + 5 * weight)
            place = (column + end[1]) / 2, (row + end[0]) / 2
            axes.text(
                *place,
                f"{weight:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
    for (row, column), value in np.ndenumerate(grey):
        axes.plot(column, row, "o", markersize=22, color=str(value), markeredgecolor=COLOURS[5])
        ink = "white" if value < 0.5 else "black"
        axes.text(
            column, row, f"{255 * value:.0f}", ha="center", va="center", color=ink, fontsize=8
        )
    axes.axis("off")
    axes.set_title(title)
    return figure
