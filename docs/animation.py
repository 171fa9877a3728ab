"""The README's animation: a walk over the latent plane, and the images decoded on the way.

python -m docs.animation vae.pth gmm_params.pkl docs/walk.gif: twenty seconds, from a model that was
trained on the course's data.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import figures
from checkpoint import load_mixture, load_model
from inference import decode
from storage import replacing

FRAMES, MILLISECONDS = 125, 160  # milliseconds per frame
POINT = (220, 20, 60)
GREYS = 15


def walk(means: NDArray, radius: float) -> NDArray:
    """Return a closed path, (FRAMES, 2): a loop around each mean in turn, then on to the next."""
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
    figure = Figure(figsize=(5.2, 2.6), dpi=72, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plane, picture = figure.subfigures(1, 2, squeeze=False)[0]
    figures.mixture_ellipses(
        mixture.means_, mixture.means_, mixture.covariances_, labels, figure=plane
    )
    axes = plane.axes[0]
    axes.get_legend().remove()
    (point,) = axes.plot([], [], "o", color=np.array(POINT) / 255, markersize=8)
    shown = picture.subplots().imshow(images[0], cmap="gray", vmin=0, vmax=1)
    picture.axes[0].axis("off")

    # One palette for all frames, so that only what changes is stored.
    greys = np.linspace(0, 255, GREYS).round().astype(int)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*np.repeat(greys, 3).tolist(), *POINT])
    frames = []
    for place, image in zip(path, images, strict=True):
        point.set_data(*place[:, None])
        shown.set_data(image)
        canvas.draw()
        frame = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(frame.quantize(palette=palette, dither=Image.Dither.NONE))
    with replacing(out) as file:
        frames[0].save(
            file, "gif", save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0
        )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
