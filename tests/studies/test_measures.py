import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import entropy

from studies.measures import (
    active_units,
    class_probabilities,
    effective_classes,
    pca_mse,
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
