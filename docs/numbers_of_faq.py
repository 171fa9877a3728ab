"""The numbers of docs/faq.md, each from a run on the digits of scikit-learn.

python -m docs.numbers_of_faq: about two minutes on one core.
"""

from dataclasses import replace

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from docs.small_vae import CLASSES, PIXELS, WIDTH, Setting, Trained, digits, train
from losses import bce
from studies.shared.measures import active_units, class_probabilities, train_classifier
from studies.shared.networks import Vae

EIGHT = Setting(z_dim=8)
SAMPLES, RECOGNISED = 1000, 0.9


def described(name: str, setting: Setting) -> None:
    """Print both terms of a setting's loss on held-out images, and its active units."""
    trained, held_out = train(setting), digits()[1]
    terms = trained.terms(held_out)
    squares = torch.from_numpy(trained.decode(trained.posterior(held_out)[0])).flatten(1)
    error = (squares - held_out.x).square().sum(dim=1).mean()
    units = active_units(trained.posterior(held_out)[0].numpy())
    print(
        f"{name}: reconstruction {terms['reconstruction']:.1f}, KL {terms['kl']:.2f}, "
        f"squared error of means {error:.2f}, active units {units} of {setting.z_dim}"
    )


def clusters(setting: Setting) -> None:
    """Print how well k-means on the codes and on the pixels matches the classes."""
    images = digits()[0]
    codes = train(setting).posterior(images)[0].numpy()
    for name, points in (("codes", codes), ("pixels", images.x.numpy())):
        found = KMeans(CLASSES, n_init=10, random_state=0).fit_predict(points)
        table = np.zeros((CLASSES, CLASSES), int)
        np.add.at(table, (found, images.labels), 1)
        purity = table.max(axis=1).sum() / len(found)
        score = adjusted_rand_score(images.labels, found)
        print(f"clusters of {name}, {setting.z_dim} latents: purity {purity:.2f}, ARI {score:.2f}")


def samples(name: str, trained: Trained, fitted: bool) -> None:
    """Print the share of samples that a classifier is sure of."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(SAMPLES, trained.setting.z_dim, generator=generator)
    if fitted:
        codes = trained.posterior(digits()[0])[0]
        z = codes.mean(dim=0) + z @ torch.linalg.cholesky(codes.T.cov()).T
    print(f"samples, {name}: {recognised(torch.from_numpy(trained.decode(z)).flatten(1)):.0%}")


def recognised(images: Tensor) -> float:
    """Return the share of images whose class has a probability above RECOGNISED."""
    torch.manual_seed(0)
    known = digits()[0]
    classifier = train_classifier(known.x, torch.from_numpy(known.labels), CLASSES)
    return float((class_probabilities(classifier, images).max(axis=1) > RECOGNISED).mean())


def main() -> None:
    train_digits, held_out = digits()
    mean = train_digits.x.mean(dim=0).expand_as(held_out.x)
    print(f"BCE of the mean image {bce(mean, held_out.x):.1f}, of the image itself", end=" ")
    print(f"{bce(held_out.x, held_out.x):.1f} nats")
    for beta in (0.05, 0.5, 1.0, 2.0, 5.0):
        described(f"beta {beta:g}", replace(EIGHT, beta=beta))
    described("mean over pixels, so beta 64", replace(EIGHT, beta=float(PIXELS)))
    for beta in (1.0, 0.05):
        described(f"MSE, beta {beta:g}", replace(EIGHT, beta=beta, loss="mse"))
    for latents in (2, 4, 16):
        described(f"{latents} latents", replace(EIGHT, z_dim=latents))
    for latents in (2, 8):
        clusters(replace(EIGHT, z_dim=latents))
    autoencoder = train(replace(EIGHT, variational=False))
    print(f"recognised: held-out images {recognised(held_out.x):.0%}")
    samples("autoencoder, N(0, I)", autoencoder, fitted=False)
    samples("autoencoder, fitted Gaussian", autoencoder, fitted=True)
    for beta in (0.05, 0.5, 1.0):
        samples(f"VAE, beta {beta:g}, prior", train(replace(EIGHT, beta=beta)), fitted=False)
    torch.manual_seed(0)
    untrained = Trained(Vae(PIXELS, 8, WIDTH), EIGHT).posterior(held_out)[1]
    print(f"outputs below 0 before training: {(untrained < 0).float().mean():.0%}")
    logvar = train(replace(EIGHT, beta=0.5)).posterior(held_out)[1]
    print(f"log-variances after training: {logvar.min():.1f} to {logvar.max():.1f}")


if __name__ == "__main__":
    main()
