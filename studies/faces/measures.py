"""Measure how well faces are reconstructed, and whether their latents form clusters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances, silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from losses import ssim
from studies.faces.data import Faces, spread
from studies.faces.networks import Network, reconstruct
from studies.shared.checks import behind_best, paired, unpaired
from studies.shared.image_cache import in_parts
from studies.shared.measures import active_units, first_axis, pca_errors, psnr, squared_errors

KNOWN = 1000  # training faces, at most, whose principal components are found
SHUFFLES = 99  # whose largest value 1 % of chance results exceed


@torch.no_grad()
def encode(network: Network, faces: Faces, device: torch.device) -> NDArray[np.float32]:
    """Return the latents of all faces, (N, latent)."""
    parts = [network.encode(x).cpu().numpy() for x in in_parts(faces.images, device)]
    return np.concatenate(parts)


@torch.no_grad()
def measure(
    network: Network, train: Faces, unseen: Faces, device: torch.device
) -> dict[str, NDArray]:
    """Measure how well the network reconstructs each training face and each unseen face."""
    found = {}
    for name, faces in (("train", train), ("unseen", unseen)):
        rows: list[NDArray] = []
        for x in in_parts(faces.images, device):
            recon = reconstruct(network, x)
            similarity = ssim(recon, x).mean(dim=1).double().cpu().numpy()
            ratio = psnr(recon, x).double().cpu().numpy()
            rows.append(np.stack([squared_errors(recon, x), similarity, ratio]))
        for key, values in zip(("mse", "ssim", "psnr"), np.hstack(rows), strict=True):
            found[f"{name}_{key}"] = values
    return found


def summarised(
    found: Mapping[int, Mapping[str, NDArray]], train: Faces, unseen: Faces
) -> dict[int, dict[str, Any]]:
    """Return the means of what `measure` returned by number of latents, and what they compare to.

    gap: the squared error of unseen faces, minus that of training faces. against_pca and
    against_mean_face: that of unseen faces, minus that of as many principal components of the
    training faces, or of their mean. ssim_behind: the SSIM of unseen faces, minus the best one.
    """
    known, other = (
        images.reshape(len(images), -1) / np.float32(255)
        for images in (spread(train.images, min(KNOWN, len(train))), unseen.images)
    )
    pca = pca_errors(known, other, list(found))
    mean_face = np.square(known.mean(axis=0) - other).mean(axis=1, dtype=np.float64)
    behind = behind_best({str(latent): row["unseen_ssim"] for latent, row in found.items()})
    return {
        latent: {name: float(values.mean()) for name, values in row.items()}
        | {
            "gap": unpaired(row["unseen_mse"], row["train_mse"]),
            "ssim_behind": behind[str(latent)],
            "pca_mse": float(pca[latent].mean()),
            "against_pca": paired(row["unseen_mse"], pca[latent]),
            "mean_face_mse": float(mean_face.mean()),
            "against_mean_face": paired(row["unseen_mse"], mean_face),
        }
        for latent, row in found.items()
    }


def judge_clusters(z: NDArray, faces: Faces, test: NDArray[np.bool_]) -> dict[str, Any]:
    """Measure whether latents, (N, latent), form clusters by expression, and by person.

    There are two expressions. The probe is a logistic regression, tested on a person, or on a
    picture, that it was not trained on. In the first case, pictures of one person with one
    expression count as one unit, because they are much alike. A unit is right if most of its
    pictures are. `p` is the binomial probability of as many right units, or more, by chance;
    `plane_p`, that in the plane of the first two principal components. `shuffled`: the range of
    silhouettes if the units' expressions are shuffled.
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

    right, in_plane = is_right(z), is_right(PCA(2, svd_solver="full").fit_transform(z))
    names = np.char.add(np.char.add(faces.people, "/"), faces.expressions)
    _, unit = np.unique(names if apart else np.arange(len(z)), return_inverse=True)

    def units_right(codes_right: NDArray) -> int:
        return int((np.bincount(unit, codes_right) / np.bincount(unit) > 0.5).sum())

    def p_of(right: int) -> float:
        return float(binomtest(right, units, chance, "greater").pvalue)

    kinds = faces.expressions[np.unique(unit, return_index=True)[1]]
    _, counts = np.unique(kinds, return_counts=True)
    units, chance = int(unit.max() + 1), float(counts.max() / counts.sum())
    known = probe.fit(z[~test], faces.expressions[~test])
    return found | {
        "test_right": int((known.predict(z[test]) == faces.expressions[test]).sum()),
        "left_out": "person" if apart else "picture",
        "probe": accuracy(right),
        "plane": accuracy(in_plane),
        "units": units,
        "right": units_right(right),
        "chance": chance,
        "p": p_of(units_right(right)),
        "plane_p": p_of(units_right(in_plane)),
        "shuffled": shuffled_silhouettes(z, faces.expressions, unit),
        "active_units": active_units(z),
        "first_axis": first_axis(z),
    }


def shuffled_silhouettes(
    z: NDArray, expressions: NDArray[np.str_], unit: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the range of silhouettes of codes, (N, latent), if units swap their expressions.

    `unit`, (N,): numbers from 0; the pictures of a unit have one expression.
    """
    generator, distances = np.random.default_rng(0), pairwise_distances(z)
    np.fill_diagonal(distances, 0)
    kinds = expressions[np.unique(unit, return_index=True)[1]]
    found = [
        silhouette_score(distances, generator.permutation(kinds)[unit], metric="precomputed")
        for _ in range(SHUFFLES)
    ]
    return float(min(found)), float(max(found))
