"""Fail unless the demo's scores are above fixed floors and its SSIM is above that of a plain PCA.

python -m benchmarks.floors SCORES.json TRAIN.npz RECON.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from data import load_images
from grader.metrics import reconstruction_scores

# Below what `make demo` reaches on its embedded data, and on the course's, by a safe margin.
FLOORS = {"one_minus_mse": 0.95, "ssim": 0.6, "classification": 0.95}


def pca_reconstructions(train: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Reconstruct (N, 784) images from two principal components of (M, 784) training images.

    The reconstructions are in [0, 1].
    """
    pca = PCA(2).fit(train)
    return np.clip(pca.inverse_transform(pca.transform(images)), 0, 1)


def pca_scores(train_path: Path, images_path: Path) -> dict[str, float]:
    """Return 1 - MSE, SSIM and their weighted mean of a two-component PCA on images of an .npz."""
    train, images = (load_images(path).reshape(-1, 784) for path in (train_path, images_path))
    recon = pca_reconstructions(train, images).reshape(-1, 28, 28).astype(np.float64)
    scores = reconstruction_scores(images.reshape(-1, 28, 28).astype(np.float64), recon)
    return {name: score.value for name, score in scores.items()}


def main() -> None:
    scores_path, train_path, recon_path = map(Path, sys.argv[1:])
    scores = json.loads(scores_path.read_text())
    reached = {**scores["reconstruction"], **scores["classification"]}
    floors = FLOORS | {"ssim of a PCA": pca_scores(train_path, recon_path)["ssim"]}
    missed = False
    for name, floor in floors.items():
        value = reached[name.split()[0]]["value"]
        verdict = "ok" if value > floor else "BELOW"
        missed |= verdict != "ok"
        print(f"{name:16} floor {floor:.4f}   reached {value:.4f}   {verdict}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
