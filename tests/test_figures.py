import io
import itertools

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

import figures

GENERATOR = np.random.default_rng(0)


def drawn(figure: Figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return matplotlib.image.imread(file)


@pytest.mark.parametrize("n", [1, 10, 15])
def test_reconstruction_rows_show_every_image_over_its_reconstruction(n: int) -> None:
    images = GENERATOR.random((n, 28, 28))
    figure = figures.reconstruction_rows(images, 1 - images)
    shown = [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()]
    assert len(shown) == 2 * n
    for i, image in enumerate(images):
        columns = min(n, 10)
        place = 2 * (i // columns) * columns + i % columns
        grid = {(j // columns, j % columns): axes for j, axes in enumerate(figure.axes)}
        above = grid[divmod(place, columns)].get_images()[0].get_array()
        below = grid[divmod(place + columns, columns)].get_images()[0].get_array()
        np.testing.assert_array_equal(above, image)
        np.testing.assert_array_equal(below, 1 - image)
    assert drawn(figure).std() > 0


def test_the_manifold_has_its_lowest_row_at_the_bottom() -> None:
    images = np.zeros((3, 4, 28, 28))
    images[0, 3] = 1
    figure = figures.manifold(images, np.arange(4), np.arange(3))
    canvas = figure.axes[0].get_images()[0].get_array()
    assert canvas is not None
    assert canvas.shape == (84, 112)
    assert canvas[56:, 84:].min() == 1
    assert canvas.sum() == 28 * 28
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "0.00"
    assert figure.axes[0].get_yticks()[0] > figure.axes[0].get_yticks()[-1]


def test_ellipses_are_one_to_three_sigma_along_the_principal_axes() -> None:
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    covariance = turn @ np.diag([9.0, 4.0]) @ turn.T
    z = GENERATOR.multivariate_normal([1, 2], covariance, 20_000)
    figure = figures.mixture_ellipses(
        z, np.array([[1.0, 2.0]]), covariance[None], np.array([8]), np.full(len(z), 8)
    )
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, Ellipse)]
    # A 2-D Gaussian holds 1 - exp(-s^2 / 2) of its points within s sigma.
    for sigma, patch in zip((1, 2, 3), patches, strict=True):
        inside = patch.contains_points(
            patch.get_transform().transform(z) * 0 + figure.axes[0].transData.transform(z)
        )
        assert inside.mean() == pytest.approx(1 - np.exp(-(sigma**2) / 2), abs=0.02)


def test_every_class_has_its_own_colour_and_marker() -> None:
    z, labels = GENERATOR.normal(size=(30, 2)), np.arange(30) % 3
    figure = figures.latent_scatter(z, z, labels)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "images",
        "digit 0",
        "digit 1",
        "digit 2",
    ]
    assert len(set(figures.COLOURS)) == len(set(figures.MARKERS)) == 10


def test_loss_curves_have_a_panel_a_loss_and_a_line_between_stages() -> None:
    early, late = np.array([5.0, 4, np.nan, np.nan]), np.array([np.nan, np.nan, 0.0, 1])
    history = {"epoch": np.arange(1, 5), "loss": np.ones(4), "kl": early, "ssim": late}
    figure = figures.loss_curves(history)
    names = [axes.get_title() for axes in figure.axes]
    assert names == ["loss", "KL divergence (nats)", "SSIM"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear"]
    five = figures.loss_curves({"epoch": history["epoch"]} | {f"{n}": np.ones(4) for n in range(5)})
    assert len({round(axes.get_position().y0, 2) for axes in five.axes}) == 2
    drawn(five)
    for axes in five.axes:
        assert any(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks())
    for axes in figure.axes:
        assert [np.asarray(line.get_xdata())[0] for line in axes.lines[1:]] == [2.5]
    assert drawn(figure).std() > 0


def test_curves_share_colours_and_a_legend_that_covers_nothing() -> None:
    runs = {"a": np.array([1.0, 10]), "b": np.array([2.0, 3])}
    panels = {"loss": runs, "accuracy": runs, "difference": {"b": np.array([-1.0, 1])}}
    figure = figures.curves(panels, "a title", linear=["accuracy"])
    assert figure.get_suptitle() == "a title"
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    colours = [{line.get_label(): line.get_color() for line in axes.lines} for axes in figure.axes]
    assert colours[0] == colours[1]
    assert colours[2]["b"] == colours[0]["b"]
    drawn(figure)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert all(not legend.get_window_extent().overlaps(axes.bbox) for axes in figure.axes)


@pytest.mark.parametrize("high", [101, 150, 999, 5e3, 2e4, 99_999, 1e6, 5e8])
def test_the_words_of_curves_have_room(high: float) -> None:
    title = "What a run with a long name does in training and on test images"
    figure = figures.curves({"loss": {"a": np.array([100, high])}}, title)
    drawn(figure)
    [axes] = figure.axes
    labels = [text.get_window_extent() for text in axes.get_yticklabels() if text.get_text()]
    shown = [box for box in labels if axes.bbox.y0 <= (box.y0 + box.y1) / 2 <= axes.bbox.y1]
    assert len(shown) >= 2
    for below, above in itertools.pairwise(sorted(shown, key=lambda box: float(box.y0))):
        assert below.y1 <= above.y0
    written = next(text for text in figure.texts if text.get_text() == title)
    box = written.get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1


def test_segments_that_touch_have_different_colours() -> None:
    ring = np.array([[number, (number + 1) % 9] for number in range(9)])
    spokes = [[9, number] for number in range(9)]
    for adjacent in (ring, np.concatenate([ring, spokes])):
        colours = figures.map_colours(10, adjacent)
        assert all((colours[one] != colours[other]).any() for one, other in adjacent)
        assert len(np.unique(colours, axis=0)) == 10
    many = np.array([[number, number + 1] for number in range(59)])
    colours = figures.map_colours(60, many)
    assert all((colours[one] != colours[other]).any() for one, other in many)
    all_touch = np.array(list(itertools.combinations(range(12), 2)))
    assert len(np.unique(figures.map_colours(12, all_touch), axis=0)) == 10


def test_the_confusion_matrix_shows_counts() -> None:
    confusion = np.array([[5, 0, 0], [1, 4, 0], [0, 0, 0]])
    figure = figures.confusion_matrix(confusion, np.array([1, 4, 8]))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["5", "0", "0", "1", "4", "0", "0", "0", "0"]
    assert drawn(figure).std() > 0


def test_a_latent_plane_s_panels_share_their_axes() -> None:
    x, y = np.linspace(0, 4, 5), np.linspace(-3, 3, 4)
    images = np.zeros((4, 5, 6, 6))
    images[3, 0] = 1  # y = 3, x = 0: the top left
    z, classes = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array(["a", "b"])
    figure = figures.latent_plane(x, y, (z, classes), images)
    scatter, grid = figure.axes
    assert scatter.get_xlim() == grid.get_xlim() == (-0.5, 4.5)
    assert scatter.get_ylim() == grid.get_ylim() == (-4, 4)
    canvas = grid.get_images()[0]
    assert tuple(canvas.get_extent()) == (-0.5, 4.5, -4, 4)
    shown = np.asarray(canvas.get_array())
    assert (shown[:6, :6] == 1).all()
    assert shown.sum() == 36
    points = [np.asarray(part.get_offsets())[0].tolist() for part in scatter.collections]
    assert points == z.tolist()
    assert drawn(figure).std() > 0


def test_legends_of_planes_cover_no_point() -> None:
    z, classes = GENERATOR.normal(size=(200, 2)), np.arange(200) % 10
    line = np.linspace(-3, 3, 5)
    for figure in (
        figures.latent_plane(line, line, (z, classes)),
        figures.latent_scatter(z, z, classes),
        figures.mixture_ellipses(z, z[:1], np.eye(2)[None], classes[:1], classes),
    ):
        drawn(figure)
        axes = figure.axes[0]
        legend = axes.get_legend()
        assert legend is not None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
        assert legend.get_window_extent().y1 <= figure.bbox.y1


def test_a_plane_of_many_points_shows_some_of_each_class() -> None:
    z, classes = GENERATOR.normal(size=(20_000, 2)), np.arange(20_000) % 10
    line = np.linspace(-3, 3, 5)
    counts = [
        len(np.asarray(part.get_offsets()))
        for part in figures.latent_plane(line, line, (z, classes)).axes[0].collections
    ]
    assert sum(counts) == figures.MOST_MARKERS
    assert min(counts) > figures.MOST_MARKERS / 20


def test_a_grid_is_as_wide_as_its_images() -> None:
    square, portrait = (
        figures.image_grid([np.zeros((6, 20, width))], "").get_size_inches() for width in (20, 10)
    )
    assert portrait[1] == square[1]
    assert portrait[0] < 0.6 * square[0] + 0.3


def test_planes_have_a_panel_each() -> None:
    classes = np.array(["x", "y", "x", "", "x"])
    panels = {name: (GENERATOR.random((5, 2)), classes) for name in "abc"}
    figure = figures.planes(panels, "a title", columns=2)
    assert [axes.get_title() for axes in figure.axes][:3] == ["a", "b", "c"]
    for axes, (points, _) in zip(figure.axes, panels.values(), strict=False):
        shown = np.concatenate([np.asarray(part.get_offsets()) for part in axes.collections])
        assert sorted(shown.tolist()) == sorted(points.tolist())
    assert not figure.axes[3].collections


def test_marked_points_are_larger() -> None:
    points, classes = GENERATOR.random((6, 2)), np.array(list("xyxyxy"))
    marked = np.array([True, True, False, False, False, False])
    axes = figures.planes({"a": (points, classes)}, "", columns=1, marked=("test", marked)).axes[0]
    points_of = [part for part in axes.collections if isinstance(part, PathCollection)]
    large = [part for part in points_of if float(part.get_sizes()[0]) > 30]
    assert [part.get_label() for part in large] == ["x, test", "y, test"]
    shown = np.concatenate([np.asarray(part.get_offsets()) for part in large])
    assert sorted(shown.tolist()) == sorted(points[marked].tolist())


def test_ranges_of_epochs_have_panels_of_their_own() -> None:
    values = np.arange(1.0, 13)
    figure = figures.curves_in_ranges({"loss": {"a": values, "b": values**2}}, "a title", ranges=3)
    shown = [np.asarray(axes.lines[0].get_xdata()) for axes in figure.axes]
    assert [[part[0], part[-1]] for part in shown] == [[1, 4], [5, 8], [9, 12]]
    assert np.concatenate([axes.lines[1].get_ydata() for axes in figure.axes]).tolist() == (
        (values**2).tolist()
    )
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    for epochs, panels in ((1, 1), (7, 1), (8, 2)):
        runs = {"loss": {"a": values[:epochs]}}
        assert len(figures.curves_in_ranges(runs, "", ranges=3).axes) == panels


def test_number_grids_show_every_number() -> None:
    axes = figures.number_grids({"a": [[1, 2], [0, 3]], "b": [[7]]}, "a title").axes
    assert [[text.get_text() for text in part.texts] for part in axes] == [list("1203"), ["7"]]


def test_feature_maps_carry_their_shapes() -> None:
    figure = figures.feature_maps({8: ([(3, 8, 8), (16,)], [(16,), (3, 8, 8)])})
    words = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert words == [["8 x 8 x 3", "16"], ["16", "8 x 8 x 3"]]
    assert figure.axes[1].get_title() == "decoder, input 8 x 8"


def test_a_class_keeps_its_colour_among_the_marked_points() -> None:
    points, classes = GENERATOR.random((4, 2)), np.array(list("xxyy"))
    marked = np.array([False, False, False, True])
    axes = figures.planes({"a": (points, classes)}, "", 1, ("test", marked)).axes[0]
    colours = {
        str(part.get_label()): np.asarray(part.get_facecolor())[0, :3].tolist()
        for part in axes.collections
    }
    assert colours["y, test"] == colours["y"] != colours["x"]
