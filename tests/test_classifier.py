import numpy as np

from classifier import fit_mixture

DIGITS = np.repeat([1, 4, 8], 5)
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
    # The initial means are so close to the centre that EM may move any component anywhere.
    z, val_z = clouds(500), clouds(5, 1)
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(15)
        mixture, labels = fit_mixture(z, 1e-3 * val_z[order] + z.mean(axis=0), DIGITS[order])
        predicted = labels[mixture.predict(val_z)]
        assert sorted(labels) == [1, 4, 8]
        assert predicted.shape == (15,)
