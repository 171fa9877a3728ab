"""Measurements of the prior, the plane and the posteriors: is the trained model a VAE?

python -m benchmarks.latent MODEL_FOLDER: measures the vae.pth that `train` wrote there from
VAE_DATA's training file. Distances are Euclidean, to the nearest training image. The class of a
sample comes from a small classifier, trained here on the training file's labels and used for
nothing else.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier

from benchmarks.common import course_file, save
from checkpoint import load_mixture, load_model
from data import load_images, load_labelled_images
from grader.metrics import reconstruction_scores
from inference import decode, encode, posterior, reconstruct, search, squared_distances
from losses import gaussian_kl
from models import VAE
from reports.a3 import manifold_latents

SAMPLES = 2000
CPU = torch.device("cpu")


def nearest_distances(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the distances from (N, 784) images to the nearest of (M, 784): (N,)."""
    x, others = torch.from_numpy(images), torch.from_numpy(train)
    squared = squared_distances(x, others).min(dim=1).values + x.square().sum(dim=1)
    return squared.clamp_min(0).sqrt().numpy()


def calibration(model: VAE, images: np.ndarray, generator: np.random.Generator) -> dict[str, float]:
    """Compare reconstructions from posterior means and samples: an honest sigma costs little."""
    mu, logvar = posterior(model, images)
    sigma = np.exp(logvar / 2)
    drawn = mu + sigma * generator.standard_normal(mu.shape)
    rows = {"mu": mu, "draw": drawn}
    scores = {
        f"ssim_from_{name}": reconstruction_scores(images, decode(model, z).reshape(images.shape))
        for name, z in rows.items()
    }
    kl = gaussian_kl(torch.from_numpy(mu), torch.from_numpy(logvar)).numpy()
    quantiles = {"10": 0.1, "50": 0.5, "90": 0.9}
    return {
        **{name: score["ssim"].value for name, score in scores.items()},
        **{f"sigma_{name}": np.quantile(sigma, q) for name, q in quantiles.items()},
        **{f"kl_{name}": np.quantile(kl, q) for name, q in quantiles.items()},
        "kl_mean": kl.mean(),
    }


def departure(model: VAE, images: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return how far the search moves from the posterior's mean, in its standard deviations."""
    mu, logvar = posterior(model, images)
    distance = np.linalg.norm((found - mu) / np.exp(logvar / 2), axis=1)
    return {
        "search_sigmas_50": float(np.median(distance)),
        "search_share_within_3_sigmas": float(np.mean(distance < 3)),
    }


def measure(folder: Path) -> dict[str, float]:
    train, labels = load_labelled_images(course_file("train"))
    train = train.reshape(len(train), 784)
    test = load_images(course_file("test"))
    model = load_model(folder / "vae.pth", CPU)
    mixture, _ = load_mixture(folder / "gmm_params.pkl", folder / "vae.pth")
    classifier = MLPClassifier((128,), early_stopping=True, random_state=0).fit(train, labels)

    z = encode(model, train)
    found = search(model, test)
    recon = decode(model, found)
    results = {
        "aggregate_mean_0": z[:, 0].mean(),
        "aggregate_mean_1": z[:, 1].mean(),
        "aggregate_std_0": z[:, 0].std(),
        "aggregate_std_1": z[:, 1].std(),
        "active_units": np.count_nonzero(z.var(axis=0) > 0.01),
        "distance_test_reconstructions": nearest_distances(recon, train).mean(),
        "distance_test_images": nearest_distances(test.reshape(-1, 784), train).mean(),
    }
    generator = np.random.default_rng(0)
    results |= calibration(model, test, generator) | departure(model, test, found)
    # The nats needed to name one of the training images, to compare with kl_mean and the SSIM.
    results["nats_of_a_lookup"] = math.log(len(train))
    component = generator.choice(len(mixture.weights_), SAMPLES, p=mixture.weights_)
    factors = np.linalg.cholesky(mixture.covariances_)[component]
    noise = generator.standard_normal((SAMPLES, 2))
    samples = {
        "manifold": manifold_latents(20),
        "standard_normal": noise,
        "mixture": mixture.means_[component] + np.einsum("nij,nj->ni", factors, noise),
    }
    for name, latents in samples.items():
        images = decode(model, latents)
        distances = nearest_distances(images, train)
        results[f"{name}_distance_ratio"] = (
            distances.mean() / results["distance_test_reconstructions"]
        )
        predicted = classifier.predict(images)
        for label in np.unique(labels):
            results[f"{name}_share_of_{label}"] = np.mean(predicted == label)
    images = generator.random((200, 28, 28))
    recon = reconstruct(model, images.astype(np.float32)).astype(np.float64)
    scores = reconstruction_scores(images, recon)
    results["noise_ssim"] = scores["ssim"].value
    return {name: float(value) for name, value in results.items()}


def main() -> None:
    results = measure(Path(sys.argv[1]))
    for name, value in results.items():
        print(f"{name:32} {value:.4f}")
    save("latent", results)


if __name__ == "__main__":
    main()
