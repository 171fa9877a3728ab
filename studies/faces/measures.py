"""Measure how well faces are reconstructed, and whether their latents form clusters."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from losses import ssim
from studies.faces.data import Faces
from studies.faces.networks import Network, reconstruct
from studies.shared.image_cache import in_parts
from studies.shared.measures import psnr


@torch.no_grad()
def encode(network: Network, faces: Faces, device: torch.device) -> NDArray[np.float32]:
    """Return the latents of all faces, (N, latent)."""
    parts = [network.encode(x).cpu().numpy() for x in in_parts(faces.images, device)]
    return np.concatenate(parts)


@torch.no_grad()
def measure(
    network: Network, train: Faces, unseen: Faces, device: torch.device
) -> dict[str, float]:
    """Measure how well the network reconstructs training faces and unseen faces."""
    found = {}
    for name, faces in (("train", train), ("unseen", unseen)):
        sums = np.zeros(3)
        for x in in_parts(faces.images, device):
            recon = reconstruct(network, x)
            means = (recon - x).square().mean(), ssim(recon, x).mean(), psnr(recon, x).mean()
            sums += len(x) * np.array([float(mean) for mean in means])
        for key, value in zip(("mse", "ssim", "psnr"), sums / len(faces), strict=True):
            found[f"{name}_{key}"] = float(value)
    return found


def judge_clusters(z: NDArray, faces: Faces, test: NDArray[np.bool_]) -> dict[str, Any]:
    """Measure whether latents, (N, latent), form clusters by expression, and by person.

    There are two expressions. The probe is a logistic regression, tested on a person, or on a
    picture, that it was not trained on. In the first case, pictures of one person with one
    expression count as one unit, because they are much alike. A unit is right if most of its
    pictures are. `p` is the binomial probability of as many right units, or more, by chance.
    `test`, (N,): which pictures the network was not trained on; another probe, trained on the
    others, is tested on them.
    """
    found: dict[str, Any] = {"silhouette": float(silhouette_score(z, faces.expressions))}
    _, people = np.unique(faces.people, return_inverse=True)
    if 1 < people.max() + 1 < len(people):
        found["silhouette_of_people"] = float(silhouette_score(z, people))
    showing = [len(set(faces.people[faces.expressions == e])) for e in set(faces.expressions)]
    apart = min(showing) > 1  # without any one person, both expressions remain
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    splits = LeaveOneGroupOut() if apart else LeaveOneOut()

    def is_right(codes: NDArray) -> NDArray[np.bool_]:
        groups = people if apart else None
        predicted = cross_val_predict(probe, codes, faces.expressions, cv=splits, groups=groups)
        return predicted == faces.expressions

    def accuracy(right: NDArray[np.bool_]) -> float:
        return float(np.mean([right[faces.expressions == e].mean() for e in set(kinds)]))

    right = is_right(z)
    names = np.char.add(np.char.add(faces.people, "/"), faces.expressions)
    _, unit = np.unique(names if apart else np.arange(len(z)), return_inverse=True)
    shares = np.bincount(unit, right) / np.bincount(unit)
    kinds = faces.expressions[np.unique(unit, return_index=True)[1]]
    _, counts = np.unique(kinds, return_counts=True)
    units_right, chance = int((shares > 0.5).sum()), float(counts.max() / counts.sum())
    known = probe.fit(z[~test], faces.expressions[~test])
    return found | {
        "test_right": int((known.predict(z[test]) == faces.expressions[test]).sum()),
        "left_out": "person" if apart else "picture",
        "probe": accuracy(right),
        "plane": accuracy(is_right(PCA(2, svd_solver="full").fit_transform(z))),
        "units": len(shares),
        "right": units_right,
        "chance": chance,
        "p": float(binomtest(units_right, len(shares), chance, "greater").pvalue),
    }
