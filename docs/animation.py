"""The README's animation: a walk over the latent plane, and what is decoded on the way.

python -m docs.animation vae.pth gmm_params.pkl docs/walk.gif: twenty seconds, from a model that was
trained with the course's data.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

import figures
from graded import load_mixture, load_model
from inference import decode
from storage import replacing

FRAMES, A_SECOND = 160, 8


def walk(means: NDArray, radius: float) -> NDArray:
    """A closed path (FRAMES, 2): a loop around each mean in turn, and on to the next."""
    turns = np.linspace(0, 2 * np.pi * len(means), FRAMES, endpoint=False)
    which = turns / (2 * np.pi)
    here, share = which.astype(int), (which % 1)[:, None]
    smooth = share**2 * (3 - 2 * share)
    centre = (1 - smooth) * means[here] + smooth * means[(here + 1) % len(means)]
    return centre + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)


def main(model_path: Path, mixture_path: Path, out: Path) -> None:
    model = load_model(model_path, torch.device("cpu"))
    mixture, labels = load_mixture(mixture_path, model_path)
    path = walk(mixture.means_, 0.9)
    images = decode(model, path).reshape(-1, 28, 28)
    figure = Figure(figsize=(5.2, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    plane, picture = figure.subfigures(1, 2, squeeze=False)[0]
    figures.mixture_ellipses(
        mixture.means_, mixture.means_, mixture.covariances_, labels, figure=plane
    )
    axes = plane.axes[0]
    axes.get_legend().remove()
    (point,) = axes.plot([], [], "o", color="crimson", markersize=8)
    (tail,) = axes.plot([], [], "-", color="crimson", linewidth=1, alpha=0.5)
    shown = picture.subplots().imshow(images[0], cmap="gray", vmin=0, vmax=1)
    picture.axes[0].axis("off")

    def show(frame: int) -> None:
        point.set_data(path[frame : frame + 1, 0], path[frame : frame + 1, 1])
        start = max(0, frame - 20)
        tail.set_data(path[start : frame + 1, 0], path[start : frame + 1, 1])
        shown.set_data(images[frame])

    animation = FuncAnimation(figure, show, frames=FRAMES)
    temporary = out.with_suffix(".tmp.gif")
    animation.save(temporary, writer=PillowWriter(fps=A_SECOND), dpi=80)
    with replacing(out) as file:
        file.write(temporary.read_bytes())
    temporary.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
