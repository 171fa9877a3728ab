"""The scores as functions of the length of training and of the size of the decoder.

python -m benchmarks.frontier time|size: full runs of the recipe on VAE_DATA's training file with
more or fewer epochs, or with wider and narrower decoders, scored on the test file. A run that is
already in build/benchmarks/frontier_NAME.json is not repeated. Draws frontier_NAME.png next to it.
"""

import functools
import sys
import time

import torch
from matplotlib.figure import Figure

import recipe
from benchmarks.common import RESULTS, course_file, load, save
from classifier import fit_mixture
from data import load_labelled_images
from grader.metrics import classification_scores, reconstruction_scores
from inference import encode, reconstruct
from models import VAE

POINTS = {"time": (6, 10, 22, 48, 72, 120, 370), "size": (64, 128, 256, 512, 768)}
SCORES = ("one_minus_mse", "ssim", "ssim_encoder_only", "classification")


def measure(epochs: int, width: int) -> dict[str, float]:
    """Train with these epochs and this decoder width; return seconds, parameters and scores."""
    images = load_labelled_images(course_file("train"))[0]
    val_images, val_labels = load_labelled_images(course_file("val"))
    test_images, truth = load_labelled_images(course_file("test"))
    setattr(recipe, "VAE", functools.partial(VAE, width=width))  # noqa: B010
    torch.manual_seed(0)
    started = time.perf_counter()
    model, _ = recipe.train_vae(images, 3, torch.device("cpu"), epochs)
    seconds = time.perf_counter() - started
    mixture, labels = fit_mixture(encode(model, images), encode(model, val_images), val_labels)
    predicted = labels[mixture.predict(encode(model, test_images))]
    searched, encoded = (
        reconstruction_scores(test_images, reconstruct(model, test_images, encoder_only=only))
        for only in (False, True)
    )
    return {
        "epochs": epochs,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "one_minus_mse": searched["one_minus_mse"].value,
        "ssim": searched["ssim"].value,
        "ssim_encoder_only": encoded["ssim"].value,
        "classification": classification_scores(truth, predicted)["classification"].value,
    }


def draw(rows: list[dict[str, float]], abscissa: str) -> Figure:
    """Draw one panel per score, against `abscissa` on a logarithmic axis."""
    figure = Figure(figsize=(3 * len(SCORES), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(SCORES)), SCORES, strict=True):
        axes.semilogx([row[abscissa] for row in rows], [row[name] for row in rows], marker="o")
        axes.set(xlabel=abscissa, title=name)
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    name = sys.argv[1]
    title = f"frontier_{name}"
    results = load(title)
    for point in POINTS[name]:
        if str(point) not in results:
            epochs, width = (point, 512) if name == "time" else (recipe.EPOCHS, point)
            results[str(point)] = measure(epochs, width)
            save(title, results)
        row = results[str(point)]
        print(f"{point:>5}", "  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    rows = [results[key] for key in sorted(results, key=int)]
    figure = draw(rows, "epochs" if name == "time" else "parameters")
    figure.savefig(RESULTS / f"{title}.png", dpi=100)


if __name__ == "__main__":
    main()
