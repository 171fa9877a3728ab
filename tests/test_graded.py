import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from benchmarks.common import course_file
from benchmarks.draws import draw, score
from data import load_labelled_images
from graded import WARM_UP, Objective, class_means, fit_mixture, train_vae
from inference import encode
from models import VAE
from tests.conftest import shapes

DIGITS = np.repeat([1, 4, 8], 5)
THIRDS = np.array([0, 2, 4]) * math.pi / 3
CENTRES = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


def clouds(n: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=0.5, size=(3, n, 2))
    return (CENTRES[:, None] + noise).reshape(-1, 2)


def test_components_get_the_labels_of_the_validation_images_in_them() -> None:
    z = clouds(500)
    mixture, labels = fit_mixture(z, clouds(5, 1), DIGITS)
    assert np.mean(labels[mixture.predict(z)] == np.repeat([1, 4, 8], 500)) > 0.99


def test_one_validation_image_a_class_is_enough() -> None:
    z = clouds(500)
    mixture, labels = fit_mixture(z, clouds(1, 1), np.array([8, 1, 4]))
    assert np.mean(labels[mixture.predict(z)] == np.repeat([8, 1, 4], 500)) > 0.99


def test_components_that_swap_places_during_em_keep_the_right_labels() -> None:
    # The start is so near to the middle that EM is free to send any component anywhere.
    z, val_z = clouds(500), clouds(5, 1)
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(15)
        mixture, labels = fit_mixture(z, 1e-3 * val_z[order] + z.mean(axis=0), DIGITS[order])
        predicted = labels[mixture.predict(val_z)]
        assert sorted(labels) == [1, 4, 8]
        assert predicted.shape == (15,)


def test_class_means_are_in_the_order_of_the_labels() -> None:
    means = class_means(np.array([[1.0, 1], [3, 3], [0, 5]]), np.array([8, 8, 4]))
    np.testing.assert_array_equal(means, [[0, 5], [2, 2]])


@pytest.mark.parametrize("angle", [0.0, 0.7, 1.9, 2.5])
def test_the_triangle_turns_towards_the_clusters(angle: float) -> None:
    corners = np.array([[math.cos(a + angle), math.sin(a + angle)] for a in THIRDS])
    noise = np.random.default_rng(0).normal(scale=0.3, size=(3, 200, 2))
    z = (corners[:, None] + noise).reshape(-1, 2)

    class Encoder(VAE):
        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    images = torch.tensor(z, dtype=torch.float32)
    turned = Objective(images, Generator()).turn_corners(Encoder()).numpy()
    nearest = np.linalg.norm(turned[:, None] - corners, axis=2).min(axis=1)
    assert nearest.max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("progress", [0.0, WARM_UP, 0.3, 0.99])
def test_the_loss_is_finite_and_reaches_every_parameter(progress: float) -> None:
    images, _ = shapes(30, 0)
    x = torch.from_numpy(images.reshape(30, 784) / np.float32(255))
    model = VAE()
    terms = Objective(x, Generator().manual_seed(0))(model, x, progress)
    terms["loss"].backward()
    assert all(math.isfinite(value.item()) for value in terms.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_class_score_holds_over_seeds_and_validation_draws(
    course_data: Path, seed: int
) -> None:
    """On the course's data, where EM from five images a class is known to land anywhere."""
    images, labels = load_labelled_images(course_file("train"))
    test_images, truth = load_labelled_images(course_file("test"))
    torch.manual_seed(seed)
    model, _ = train_vae(images, torch.device("cpu"), 15, math.inf)
    z, test_z = encode(model, images), encode(model, test_images)
    for other in range(20):
        assert score(z, labels, test_z, truth, draw(labels, other)) > 0.97
