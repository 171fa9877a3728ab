"""The figures of docs/theory.md, each from a run on the digits of scikit-learn.

python -m docs.figures_of_theory docs/theory [NAME...]: about two minutes on one core, the same
bytes each time. It prints the numbers that the captions use.
"""

import io
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle, Ellipse
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import mark_boundaries
from torch import Tensor, nn
from torch.nn import functional

import figures
from docs.small_vae import CLASSES, SIDE, Digits, Setting, Trained, digits, train
from figures import COLOURS, MARKERS
from gmm import GaussianMixture
from losses import mse
from storage import replacing
from studies.demo_data import writers
from studies.segment.images import read_picture
from studies.segment.methods import Spectral, cells, kmeans, pixel_features

WIDTH = 7.0  # inches; the page shows a figure about 700 pixels wide
DPI = 160
BETAS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
PLANE = Setting()  # two latents, beta 1
NOISE = 5  # seed of the draws from one posterior


def figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def show(axes: Axes, image: NDArray, title: str = "") -> None:
    """Show an image, (H, W) in [0, 1], without ticks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)


def strip(images: NDArray, gap: int = 1) -> NDArray:
    """Join images, (rows, columns, H, W), with white gaps between them."""
    padding = ((0, 0), (0, 0), (0, gap), (0, gap))
    rows, columns, height, width = (padded := np.pad(images, padding, constant_values=1)).shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-gap, :-gap]


def legend_of_digits(drawn: Figure | SubFigure, axes: Axes) -> None:
    """Add one legend for all panels, in one row above them."""
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(
        handles,
        [f"digit {labels[0]}", *labels[1:]],
        loc="outside upper center",
        ncols=len(labels),
        markerscale=1.5,
        columnspacing=1,
        handletextpad=0,
        frameon=False,
    )


def circle(axes: Axes, radius: float) -> None:
    axes.add_patch(Circle((0, 0), radius, fill=False, color=COLOURS[0], lw=1.5, ls="--"))


def add_ellipse(axes: Axes, mu: NDArray, sigma: NDArray, angle: float = 0) -> None:
    """Draw a Gaussian at 1 and 2 sigma, turned by an angle in degrees."""
    for times in (1, 2):
        width, height = 2 * times * sigma
        axes.add_patch(Ellipse((mu[0], mu[1]), width, height, angle=angle, fill=False, lw=1.5))


def grid_over(z: NDArray, side: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return the centres of equal cells over the range of latents, and all pairs of them."""
    low, high = z.min(axis=0), z.max(axis=0)
    x, y = (low + (high - low) * ((np.arange(side) + 0.5) / side)[:, None]).T
    return x, y, np.stack(np.meshgrid(x, y), axis=-1)


def planes() -> Figure:
    """An autoencoder's plane next to a VAE's, with what is decoded in each cell."""
    side, train_digits = 10, digits()[0]
    drawn = figure(7.4)
    axes = drawn.subplots(2, 2)
    for column, (name, setting) in enumerate(
        {"Autoencoder": Setting(variational=False), "VAE": PLANE}.items()
    ):
        trained = train(setting)
        z = trained.posterior(train_digits)[0].numpy()
        x, y, points = grid_over(z, side)
        half = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
        ends = x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1]
        inside = (np.hypot(*z.T) < 2).mean()
        above, below = axes[:, column]
        figures.scatter_classes(above, z, train_digits.labels)
        circle(above, 2)
        above.set(xlim=ends[:2], ylim=ends[2:])
        above.set_title(f"{name}: {inside:.0%} of codes in the circle")
        canvas = strip(trained.decode(points)[::-1])
        below.imshow(canvas, cmap="gray", vmin=0, vmax=1, extent=ends, aspect="auto")
        below.set(xlabel="$z_1$", ylabel="$z_2$")
        below.set_title(f"{name}: decoded on the same axes")
        print(f"planes: {name}: {inside:.0%} within 2 sigma; in [{z.min():.1f}, {z.max():.1f}]")
    legend_of_digits(drawn, axes[0, 0])
    return drawn


@torch.no_grad()
def log_evidence(trained: Trained, images: Digits) -> float:
    """Return the mean of log p(x) in nats, by a sum over a fine grid of the two latents.

    Pixels count as probabilities, so their likelihood is exp(-binary cross-entropy).
    """
    axis = torch.linspace(-5, 5, 201)
    z = torch.cartesian_prod(axis, axis)
    logits = torch.logit(trained.vae.decode(z), eps=1e-6)
    fit = images.x @ logits.T - functional.softplus(logits).sum(dim=1)
    prior = -0.5 * z.square().sum(dim=1) - math.log(2 * math.pi)
    area = 2 * math.log(10 / 200)
    return (torch.logsumexp(fit + prior, dim=1) + area).mean().item()


def bound() -> Figure:
    """Both terms of the bound during training, and the bound under log p(x)."""
    rows: list[tuple[int, float, float, float]] = []

    def evaluate(trained: Trained) -> None:
        epoch = len(trained.history)
        if epoch in (1, 2, 3, 5, 8, 12, 20, 30, 50):
            terms = trained.terms(digits()[1])
            evidence = log_evidence(trained, digits()[1])
            rows.append((epoch, terms["reconstruction"], terms["kl"], evidence))

    train(PLANE, evaluate)
    epochs, reconstruction, kl, evidence = np.array(rows).T
    elbo = -reconstruction - kl
    drawn = figure(3.3)
    left, right = drawn.subplots(1, 2)
    left.plot(epochs, reconstruction, marker="o", color=COLOURS[0], label="reconstruction error")
    left.plot(epochs, kl, marker="s", color=COLOURS[5], label="KL divergence")
    left.set_title("The two terms")
    left.set(ylabel="nats per held-out image", ylim=0)
    right.plot(epochs, evidence, marker="^", color=COLOURS[2], label="log p(x)")
    right.plot(epochs, elbo, marker="o", color=COLOURS[0], label="ELBO")
    right.fill_between(epochs, elbo, evidence, color="0.85", label="gap")
    right.set_title("The bound lies below log p(x)")
    for axes in (left, right):
        axes.set(xlabel="epoch", xscale="log")
        axes.set_xticks(epochs, [f"{epoch:g}" for epoch in epochs])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.legend(loc="center right")
    right.legend(loc="upper left")
    for epoch, *values in (rows[0], rows[-1]):
        words = ", ".join(f"{value:.1f}" for value in values)
        print(f"bound: epoch {epoch}: reconstruction, KL, log p(x): {words}")
    return drawn


def reparameterisation() -> Figure:
    """One image's posterior, draws from it, and their decoded images."""
    trained, held_out = train(PLANE), digits()[1]
    mu, logvar = (part.numpy() for part in trained.posterior(held_out))
    sigma = np.exp(0.5 * logvar)
    # A wide posterior shows best what a draw changes.
    chosen = int(np.argsort(sigma.prod(axis=1))[-4])
    noise = np.random.default_rng(NOISE).standard_normal((6, 2))
    draws = mu[chosen] + sigma[chosen] * noise
    drawn = figure(3.5)
    left, right = drawn.subfigures(1, 2, width_ratios=[1, 1.1], squeeze=False)[0]
    axes = left.subplots()
    axes.scatter(*mu.T, s=8, color="0.7", label="other images")
    add_ellipse(axes, mu[chosen], sigma[chosen])
    axes.plot(*mu[chosen], "k+", ms=11, ls="", label="mean")
    axes.scatter(*draws.T, s=34, color=COLOURS[5], marker="D", label="draw")
    for number, place in enumerate(draws, start=1):
        axes.annotate(f"{number}", place, xytext=(5, 3), textcoords="offset points")
    reach = 2.6 * sigma[chosen].max() * np.array([-1, 1])
    axes.set(xlim=mu[chosen, 0] + reach, ylim=mu[chosen, 1] + reach, xlabel="$z_1$")
    axes.set_ylabel("$z_2$")
    axes.set_title("A posterior at 1 and 2 sigma")
    left.legend(loc="outside lower center", ncols=3, frameon=False, handletextpad=0.2)
    panels = right.subplots(2, 4).ravel()
    show(panels[0], held_out.x[chosen].reshape(SIDE, SIDE).numpy(), "image")
    show(panels[1], trained.decode(mu[chosen]), "mean")
    images = trained.decode(draws)
    for number, (axes, image) in enumerate(zip(panels[2:], images, strict=True), start=1):
        show(axes, image, f"draw {number}")
    words = ", ".join(f"{value:.2f}" for value in sigma[chosen])
    print(f"reparameterisation: a {held_out.labels[chosen]}, sigma {words}")
    return drawn


def beta() -> Figure:
    """Both terms over beta, and what each beta reconstructs and samples."""
    held_out = digits()[1]
    shown = [int(np.flatnonzero(held_out.labels == digit)[2]) for digit in (2, 5)]
    noise = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    terms, columns = [], []
    for weight in BETAS:
        trained = train(Setting(beta=weight, z_dim=8))
        terms.append(trained.terms(held_out))
        recon = trained.decode(trained.posterior(held_out)[0][shown])
        columns.append(np.concatenate([recon, trained.decode(noise)]))
    drawn = figure(5.6)
    above, below = drawn.subfigures(2, 1, height_ratios=[1.15, 1], squeeze=False)[:, 0]
    axes = above.subplots()
    for (key, name), number in zip(
        {"reconstruction": "reconstruction error", "kl": "KL divergence"}.items(),
        (0, 5),
        strict=True,
    ):
        values = [term[key] for term in terms]
        axes.plot(BETAS, values, marker=MARKERS[number], color=COLOURS[number], label=name)
        words = ", ".join(f"{value:.1f}" for value in values)
        print(f"beta: {name}: {words}")
    axes.set(xscale="log", xlabel="beta", ylabel="nats per held-out image", ylim=0)
    axes.set_xticks(BETAS, [f"{weight:g}" for weight in BETAS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    canvas = np.stack(columns, axis=1)
    originals = held_out.x[shown].reshape(-1, SIDE, SIDE).numpy()
    blank = np.ones((3, SIDE, SIDE))
    canvas = np.concatenate([np.concatenate([originals, blank])[:, None], canvas], axis=1)
    axes = below.subplots()
    axes.imshow(strip(canvas), cmap="gray", vmin=0, vmax=1)
    places = np.arange(len(BETAS) + 1) * (SIDE + 1) + SIDE / 2 - 0.5
    axes.set_xticks(places, ["original", *(f"{weight:g}" for weight in BETAS)])
    axes.set_yticks([SIDE - 0.5, 3.5 * (SIDE + 1)], ["reconstructions", "samples"])
    axes.set_title("means decoded, and samples from the prior, for each beta")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return drawn


def conditions() -> Figure:
    """The planes of a VAE without and with the class, and samples of each class."""
    train_digits = digits()[0]
    drawn = figure(6.3)
    above, below = drawn.subfigures(2, 1, height_ratios=[1.25, 1], squeeze=False)[:, 0]
    conditional = Setting(conditional=True)
    for axes, (name, setting) in zip(
        above.subplots(1, 2),
        {"without the class": PLANE, "with the class": conditional}.items(),
        strict=True,
    ):
        trained = train(setting)
        z = trained.posterior(train_digits)[0].numpy()
        figures.scatter_classes(axes, z, train_digits.labels)
        axes.set_title(f"Codes {name}")
        axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
        print(f"conditions: {name}: KL {trained.terms(digits()[1])['kl']:.1f} nats")
    legend_of_digits(above, axes)
    trained = train(conditional)
    styles = torch.tensor([[0.0, 0.0], [1.5, 0.0], [-1.5, 0.0], [0.0, 1.5], [0.0, -1.5]])
    classes = functional.one_hot(torch.arange(CLASSES)).float()
    conditions_of = classes.repeat(len(styles), 1)
    decoded = trained.decode(styles.repeat_interleave(CLASSES, dim=0), conditions_of)
    images = decoded.reshape(len(styles), CLASSES, SIDE, SIDE)
    axes = below.subplots()
    axes.imshow(strip(images), cmap="gray", vmin=0, vmax=1)
    places = np.arange(CLASSES) * (SIDE + 1) + SIDE / 2 - 0.5
    axes.set_xticks(places, [f"{digit}" for digit in range(CLASSES)])
    names = [f"z = ({x:g}, {y:g})" for x, y in styles.tolist()]
    axes.set_yticks(places[: len(styles)], names)
    axes.set_title("Decoded with the class: one class a column, one z a row")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


def mixture() -> Figure:
    """EM on the codes of three digits, from two starts, and its likelihood."""
    kept, images = (0, 4, 6), digits()[0]
    chosen = np.isin(images.labels, kept)
    z = train(PLANE).posterior(images)[0].numpy()[chosen].astype(np.float64)
    labels = images.labels[chosen]
    labelled = np.stack([z[labels == digit][:5].mean(axis=0) for digit in kept])
    close = z.mean(axis=0) + 0.4 * np.array([[-1, 0], [1, 0], [0, 1]])
    fits = {
        "close means, after one step": GaussianMixture(3, max_iter=1).fit(z, close),
        "close means": GaussianMixture(3).fit(z, close),
        "means of five labelled images": GaussianMixture(3).fit(z, labelled),
    }
    drawn = figure(6.6)
    panels = drawn.subplots(2, 2).ravel()
    for number, (axes, (name, fitted)) in enumerate(zip(panels, fits.items(), strict=False)):
        figures.scatter_classes(axes, z, labels)
        for mean, covariance in zip(fitted.means_, fitted.covariances_, strict=True):
            variances, directions = np.linalg.eigh(covariance)
            angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
            add_ellipse(axes, mean, np.sqrt(variances[::-1]), angle)
            axes.plot(*mean, "k+", ms=10)
        steps, last = len(fitted.log_likelihood_), fitted.score_samples(z).mean()
        axes.set_title(name if steps == 1 else f"{name}, after {steps} steps")
        print(f"mixture: {name}: {steps} steps, {last:.3f} nats")
        if steps > 1:
            marker, colour = MARKERS[number], COLOURS[number]
            panels[3].plot(fitted.log_likelihood_, color=colour, label=name)
            panels[3].plot(steps - 1, last, marker, color=colour)
    panels[3].set(xlabel="step of EM", ylabel="log-likelihood, nats per image")
    panels[3].set_title("The likelihood never falls")
    panels[3].grid(alpha=0.3)
    panels[3].legend(loc="lower right")
    legend_of_digits(drawn, panels[0])
    return drawn


def pixels() -> Figure:
    """One image, clustered by k-means, by spectral clustering, and into equal cells."""
    clusters = {"k-means": 4, "spectral": 40}
    with tempfile.TemporaryDirectory() as folder:
        writers.image(Path(folder))
        picture = read_picture(Path(folder) / "image.png")
    drawn = figure(5.2)
    axes = drawn.subplots(2, 2).ravel()
    show(axes[0], picture.grey, "The image")
    results = (
        kmeans(pixel_features(picture, "grey"), clusters["k-means"], 100, 0),
        Spectral(picture, clusters["spectral"], 0).divide(clusters["spectral"]),
        cells(picture, clusters["spectral"], 0),
    )
    for panel, result in zip(axes[1:], results, strict=True):
        labels = picture.in_place(result.runs[0])
        means = np.array([picture.grey[labels == part].mean() for part in range(result.clusters)])
        filled = np.where(labels < 0, 1, means[labels])
        if result.method != "k-means":  # its pieces are too many to outline
            filled, large = (part.repeat(4, axis=0).repeat(4, axis=1) for part in (filled, labels))
            filled = mark_boundaries(filled, large, color=to_rgb(COLOURS[1]), mode="inner")
        show(panel, filled, f"{result.title}, each in its mean grey")
        explained = 1 - np.square(picture.grey - means[labels]).mean() / picture.grey.var()
        print(f"pixels: {result.title}: {explained:.0%} of the variance of grey explained")
    return drawn


class ReluPlane(nn.Module):
    """An autoencoder whose two latents are behind a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(SIDE**2, 64), nn.ReLU(), nn.Linear(64, 2), nn.ReLU())
        self.decoder = nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, SIDE**2), nn.Sigmoid()
        )


def relu_plane(seed: int) -> tuple[NDArray, float]:
    """Train an autoencoder with two latents behind a ReLU; return its codes and its error."""
    torch.manual_seed(seed)
    model, x = ReluPlane(), digits()[0].x
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(1500):
        batch = x[torch.randint(len(x), (50,))]
        loss = mse(model.decoder(model.encoder(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z: Tensor = model.encoder(x)
        return z.numpy(), mse(model.decoder(z), x).item()


def dead_units() -> Figure:
    """The codes of two trainings that differ in their seed: a plane, and a line."""
    runs = {seed: relu_plane(seed) for seed in range(10)}
    dead = {seed: int((z.max(axis=0) == 0).sum()) for seed, (z, _) in runs.items()}
    print(f"dead_units: units that are 0 for every image, by seed: {dead}")
    alive = next(seed for seed, count in dead.items() if count == 0)
    line = next(seed for seed, count in dead.items() if count == 1)
    drawn = figure(3.9)
    axes = drawn.subplots(1, 2)
    names = {alive: "both units alive", line: "one unit dead"}
    for panel, (seed, name) in zip(axes, names.items(), strict=True):
        z, error = runs[seed]
        figures.scatter_classes(panel, z, digits()[0].labels)
        panel.set_title(f"{name} (seed {seed}):\nsquared error {error:.2f} per image")
        panel.margins(0.06)
    legend_of_digits(drawn, axes[0])
    return drawn


def devices() -> Figure:
    """A batch's statistics on each of several devices, and what they change."""
    torch.manual_seed(0)
    batch = digits()[0].x[torch.randperm(len(digits()[0].x))[:64]]
    with torch.no_grad():
        values = nn.Linear(SIDE**2, 32)(batch).numpy()
    counts = (1, 2, 4, 8, 16)
    drawn = figure(3.3)
    left, right = drawn.subplots(1, 2)
    whole = (values - values.mean(axis=0)) / values.std(axis=0)
    differences = []
    for place, count in enumerate(counts):
        parts = values.reshape(count, -1, values.shape[1])
        means = parts[:, :, 0].mean(axis=1)
        left.plot([place] * count, means, "o", color=COLOURS[0], alpha=0.7)
        own = (parts - parts.mean(axis=1, keepdims=True)) / parts.std(axis=1, keepdims=True)
        differences.append(float(np.sqrt(np.square(own.reshape(whole.shape) - whole).mean())))
    left.axhline(values[:, 0].mean(), color=COLOURS[5], ls="--", label="the whole batch")
    left.plot([], [], "o", color=COLOURS[0], label="a device's part")
    left.set(xlabel="devices", ylabel="mean of one channel")
    left.set_title("Each device's own mean")
    right.plot(range(len(counts)), differences, marker="s", color=COLOURS[0])
    right.set(xlabel="devices", ylabel="RMS difference, in sigmas", ylim=(-0.02, None))
    right.set_title("Change of the normalised values")
    right.grid(alpha=0.3)
    drawn.legend(loc="outside upper left", ncols=2, frameon=False)
    for axes in (left, right):
        axes.set_xticks(range(len(counts)), [f"{count}" for count in counts])
    words = ", ".join(f"{value:.2f}" for value in differences)
    print(f"devices: RMS difference for {counts} devices: {words}")
    return drawn


def log_density(z: NDArray, mu: NDArray, sigma: NDArray) -> NDArray:
    """Return the log density of points (N, 2) under each of M diagonal Gaussians: (N, M)."""
    scaled = (z[:, None] - mu) / sigma
    return -0.5 * np.square(scaled).sum(axis=2) - np.log(2 * np.pi * sigma.prod(axis=1))


def blur() -> Figure:
    """The images that fit two latents best, their mean, and what is decoded there."""
    trained, images = train(PLANE), digits()[0]
    mu, logvar = (part.numpy() for part in trained.posterior(images))
    sigma = np.exp(0.5 * logvar)
    points = np.array([np.median(mu[images.labels == digit], axis=0) for digit in (8, 5)])
    density = np.exp(log_density(points, mu, sigma))
    weights = density / density.sum(axis=1, keepdims=True)
    x = images.x.numpy()
    means = weights @ x
    decoded = trained.decode(points)
    rows = []
    for row, mean, image in zip(weights, means, decoded, strict=True):
        fitting = x[np.argsort(-row)[:8]].reshape(-1, SIDE, SIDE)
        rows.append([*fitting, np.ones((SIDE, SIDE)), mean.reshape(SIDE, SIDE), image])
        effective = 1 / np.square(row).sum()
        error = np.abs(mean.reshape(SIDE, SIDE) - image).mean()
        print(f"blur: {effective:.0f} images fit; decoded - mean: {error:.3f} per pixel")
    drawn = figure(1.8)
    axes = drawn.subplots()
    axes.imshow(strip(np.array(rows)), cmap="gray", vmin=0, vmax=1)
    step = SIDE + 1
    axes.set_xticks(
        [4 * step - 1, 9 * step + SIDE / 2, 10 * step + SIDE / 2],
        ["eight of the images that fit this z", "their\nmean", "deco-\nded"],
    )
    axes.set_yticks(
        [SIDE / 2 - 0.5, step + SIDE / 2 - 0.5],
        [f"z = ({x:.1f}, {y:.1f})" for x, y in points.tolist()],
    )
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return drawn


def holes() -> Figure:
    """The prior's density against the codes', and what is decoded in a hole."""
    trained, images = train(PLANE), digits()[0]
    mu, logvar = (part.numpy() for part in trained.posterior(images))
    sigma = np.exp(0.5 * logvar)
    axis = np.linspace(-3, 3, 121)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    aggregate = np.logaddexp.reduce(log_density(points, mu, sigma), axis=1) - np.log(len(mu))
    prior = log_density(points, np.zeros((1, 2)), np.ones((1, 2)))[:, 0]
    ratio = aggregate - prior
    near = np.hypot(*points.T) < 1.5
    hole = points[np.where(near, ratio, np.inf).argmin()]
    among = np.median(mu[images.labels == 0], axis=0)
    drawn = figure(3.6)
    left, right = drawn.subfigures(1, 2, width_ratios=[3, 1], squeeze=False)[0]
    axes = left.subplots()
    levels, powers = np.linspace(-2, 2, 9), ratio.reshape(len(axis), -1) / np.log(10)
    filled = axes.contourf(axis, axis, powers, levels, cmap="PuOr", extend="both")
    left.colorbar(filled, label="codes over prior, powers of ten", ticks=range(-2, 3))
    axes.scatter(*mu.T, s=3, color="black", lw=0, label="codes")
    for radius in (1, 2):
        circle(axes, radius)
    for name, place, marker in (("hole", hole, "X"), ("0s", among, "s")):
        axes.plot(*place, marker, color=COLOURS[5], ms=10, mec="white")
        axes.annotate(
            name,
            place,
            xytext=(8, 6),
            textcoords="offset points",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    axes.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    axes.set_title("Codes, and the prior at 1 and 2 sigma")
    above, below = right.subplots(2, 1)
    show(above, trained.decode(hole), "decoded in the hole")
    show(below, trained.decode(among), "decoded among the 0s")
    print(f"holes: hole at {hole}, {10 ** (ratio[near].min() / np.log(10)):.3f} of the prior")
    return drawn


FIGURES: tuple[Callable[[], Figure], ...] = (
    *(planes, bound, reparameterisation, beta, conditions, mixture, pixels),
    *(dead_units, devices, blur, holes),
)


def main(folder: Path, names: list[str]) -> None:
    """Write the named figures, or all, to the folder."""
    folder.mkdir(exist_ok=True)
    for draw in FIGURES:
        if not names or draw.__name__ in names:
            drawn = io.BytesIO()
            with matplotlib.rc_context({"axes.titlesize": 10, "legend.fontsize": 9}):
                draw().savefig(drawn, dpi=DPI)
            # Colours are few; 256 of them are a third of the bytes, and look the same.
            image = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
            with replacing(folder / f"{draw.__name__}.png") as file:
                image.save(file, format="png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
