import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import entropy
from skimage.metrics import peak_signal_noise_ratio

from studies.shared.measures import (
    SCALES,
    active_units,
    class_probabilities,
    effective_classes,
    mean_pairwise_distance,
    nearest_distance,
    pca_mse,
    psnr,
    scale_energies,
    sharpness,
    train_classifier,
)

GENERATOR = np.random.default_rng(0)


def test_principal_components_leave_what_the_singular_values_say() -> None:
    x = GENERATOR.normal(size=(200, 12)) * np.arange(1, 13)
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    for components in (1, 5, 12, 50):
        expected = np.square(values[components:]).sum() / x.size
        np.testing.assert_allclose(pca_mse(x, x, components), expected, atol=1e-9)
    assert pca_mse(x[:100], x[100:], 3) > pca_mse(x[:100], x[:100], 3)


def test_blur_lowers_sharpness_and_brightness_does_not_matter() -> None:
    images = (GENERATOR.random((5, 28, 28)) > 0.7).astype(float)
    blurred = np.stack([gaussian_filter(image, 1) for image in images])
    assert sharpness(blurred) < 0.5 * sharpness(images)
    np.testing.assert_allclose(sharpness(0.3 * images + 0.1), sharpness(images))


def test_units_that_do_not_depend_on_the_image_are_not_active() -> None:
    mu = GENERATOR.normal(size=(500, 4)) * [1, 0.01, 0.5, 0] + [0, 3, 0, -2]
    assert active_units(mu) == 2


def test_effective_classes_is_the_exponential_of_the_entropy() -> None:
    predicted = GENERATOR.integers(0, 7, 1000) // 2
    expected = np.exp(entropy(np.bincount(predicted)))
    np.testing.assert_allclose(effective_classes(predicted, 10), expected)
    assert effective_classes(np.zeros(9, np.int64), 10) == 1
    np.testing.assert_allclose(effective_classes(np.arange(10), 10), 10)


def test_the_classifier_learns_what_can_be_told_apart() -> None:
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    x = 0.2 * torch.rand(300, 20)
    x[torch.arange(300), labels] += 0.8
    probabilities = class_probabilities(train_classifier(x, labels, 3), x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == labels.numpy()).mean() > 0.95


def test_psnr_is_that_of_scikit_image() -> None:
    x, recon = torch.rand(4, 3, 9, 7), torch.rand(4, 3, 9, 7)
    found = psnr(recon, x).tolist()
    for value, a, b in zip(found, recon.numpy(), x.numpy(), strict=True):
        np.testing.assert_allclose(value, peak_signal_noise_ratio(b, a, data_range=1), rtol=1e-5)


def test_each_scale_has_the_energy_of_what_it_shows() -> None:
    shades = torch.rand(5, 3, 1, 1).expand(5, 3, 32, 32)
    blocks = torch.kron(2.0 * torch.randint(2, (5, 3, 4, 4)) - 1, torch.ones(8, 8))
    blocks = blocks - blocks.mean(dim=(2, 3), keepdim=True)
    fine = torch.kron(torch.ones(16, 16), torch.tensor([[1.0, -1], [-1, 1]])).expand(5, 3, 32, 32)
    found = scale_energies(shades + blocks + 0.5 * fine)
    expected = [float(shades.square().mean()), float(blocks.square().mean()), 0, 0.25]
    assert list(SCALES) == ["overall colour", "4 x 4 blocks", "16 x 16 blocks", "detail"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_distances_are_those_of_brute_force() -> None:
    x, others = GENERATOR.random((6, 2, 5)), GENERATOR.random((9, 2, 5))
    pairs = [np.square(a - b).mean() for i, a in enumerate(x) for b in x[:i]]
    np.testing.assert_allclose(mean_pairwise_distance(x), np.sqrt(np.mean(pairs)))
    nearest = [min(np.sqrt(np.square(a - b).mean()) for b in others) for a in x]
    np.testing.assert_allclose(nearest_distance(x, others), np.mean(nearest))
