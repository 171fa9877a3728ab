import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Reference

from gmm import CHUNK_POINTS, GaussianMixture

MEANS = np.array([[0.0, 0.0], [4.0, 1.0], [-2.0, 5.0]])


def blobs(seed: int = 0, n: int = 600) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shapes = generator.normal(size=(3, 2, 2))
    return np.concatenate(
        [
            mean + generator.normal(size=(n // 3, 2)) @ shape
            for mean, shape in zip(MEANS, shapes, strict=True)
        ]
    )


def fitted(x: np.ndarray, means: np.ndarray = MEANS) -> GaussianMixture:
    return GaussianMixture(len(means)).fit(x, means)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tol", [1e-3, 1e-9])
@pytest.mark.parametrize("n", [600, 2 * CHUNK_POINTS + 300])
def test_fits_as_scikit_learn_does_from_the_same_start(seed: int, tol: float, n: int) -> None:
    x = np.random.default_rng(seed).permutation(blobs(seed, n))
    weights, covariances = np.array([0.2, 0.5, 0.3]), np.stack([2 * np.eye(2)] * 3)
    ours = GaussianMixture(3, tol=tol).fit(x, MEANS, covariances, weights)
    reference = Reference(
        3,
        tol=tol,
        max_iter=500,
        reg_covar=1e-6 * x.var(axis=0).mean(),
        means_init=MEANS,
        weights_init=weights,
        precisions_init=np.linalg.inv(covariances),
    ).fit(x)
    assert ours.converged_
    assert len(ours.log_likelihood_) == reference.n_iter_
    np.testing.assert_allclose(ours.score_samples(x), reference.score_samples(x), atol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(x), reference.predict_proba(x), atol=1e-8)
    np.testing.assert_array_equal(ours.predict(x), reference.predict(x))
    np.testing.assert_allclose(ours.bic(x), reference.bic(x), rtol=1e-10)
    np.testing.assert_allclose(ours.aic(x), reference.aic(x), rtol=1e-10)


@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.01, 100))
def test_log_likelihood_never_falls(seed: int, k: int, scale: float) -> None:
    x = scale * blobs(seed, 60)
    mixture = GaussianMixture(k, reg_covar=1e-9).fit(x, x[:: len(x) // k][:k])
    # What is added to the covariances moves them a little away from the maximum.
    assert np.all(np.diff(mixture.log_likelihood_) > -1e-5)


def test_finds_a_mixture_again_from_its_own_sample() -> None:
    source = fitted(blobs())
    x, components = source.sample(100_000, np.random.default_rng(0))
    assert np.mean(source.predict(x) == components) > 0.95
    again = fitted(x, source.means_)
    np.testing.assert_allclose(again.means_, source.means_, atol=0.05)
    np.testing.assert_allclose(again.covariances_, source.covariances_, atol=0.1)
    np.testing.assert_allclose(again.weights_, source.weights_, atol=0.01)


def test_density_is_that_of_scipy() -> None:
    mixture, x = fitted(blobs()), blobs(1)
    densities = [
        weight * multivariate_normal(mean, covariance).pdf(x)
        for weight, mean, covariance in zip(
            mixture.weights_, mixture.means_, mixture.covariances_, strict=True
        )
    ]
    np.testing.assert_allclose(mixture.score_samples(x), np.log(np.sum(densities, axis=0)))


def test_weights_count_in_predictions() -> None:
    parameters = {
        "weights": [0.9, 0.1],
        "means": [[-1.0, 0.0], [1.0, 0.0]],
        "covariances": [np.eye(2).tolist()] * 2,
    }
    # The point is slightly nearer to the second mean, but the first weight is nine times the other.
    assert GaussianMixture.from_dict(parameters).predict([[0.1, 0.0]]).item() == 0


@pytest.mark.parametrize(
    "x",
    [
        np.ones((50, 2)),
        np.repeat([[0.0, 0.0], [4.0, 1.0], [-2.0, 5.0]], 20, axis=0),
        np.column_stack([np.linspace(-5, 5, 100), np.zeros(100)]),
        np.concatenate([blobs(), [[1e8, -1e8]]]),
        np.concatenate([blobs(), np.full((1, 2), 1e12)]),
        blobs() * 1e-12,
        blobs() * 1e9 + 1e12,
        blobs().astype(np.float32),
        np.array([[1.0, 2.0]]),
    ],
    ids=[
        "one point",
        "three points",
        "a line",
        "far",
        "very far",
        "tiny",
        "huge",
        "float32",
        "N=1",
    ],
)
def test_survives(x: np.ndarray) -> None:
    mixture = fitted(x)
    for array in (mixture.weights_, mixture.means_, mixture.covariances_):
        assert np.isfinite(array).all()
    assert mixture.weights_.sum() == pytest.approx(1)
    assert np.isfinite(mixture.score_samples(x)).all()
    np.testing.assert_allclose(mixture.predict_proba(x).sum(axis=1), 1)


def test_an_empty_component_keeps_its_place() -> None:
    far = np.array([[0.0, 0.0], [1e9, 1e9]])
    mixture = GaussianMixture(2).fit(blobs(), far, np.stack([np.eye(2)] * 2))
    np.testing.assert_array_equal(mixture.means_[1], far[1])
    assert mixture.weights_[1] < 1e-10
    assert not mixture.predict(blobs()).any()


@pytest.mark.parametrize("distance", [1e3, 1e10, 1e100, 1e200, 1e308])
def test_far_points_have_finite_scores(distance: float) -> None:
    mixture, x = fitted(blobs()), np.array([[distance, -distance]])
    assert np.isfinite(mixture.score_samples(x)).all()
    np.testing.assert_allclose(mixture.predict_proba(x).sum(axis=1), 1)


def test_translation_does_not_cancel() -> None:
    x = blobs()
    near, far = fitted(x), fitted(x + 1e6, MEANS + 1e6)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "means", "message"),
    [
        (np.full((5, 2), np.nan), MEANS, "NaN"),
        (np.ones((0, 2)), MEANS, "shape"),
        (np.ones(5), MEANS, "shape"),
        (np.ones((5, 3)), MEANS, "means of shape"),
        (np.ones((5, 2)), MEANS[:2], "means of shape"),
        (np.array([[1e200, 0], [-1e200, 0.0]]), MEANS, "overflows"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_refuses(x: np.ndarray, means: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(x, means)


def test_points_of_another_dimension_are_refused() -> None:
    mixture = fitted(blobs())
    for method in (mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.bic):
        for shape in ((4, 1), (4, 3)):
            with pytest.raises(ValueError, match=r"points of shape \(4, .\); expected \(N, 2\)"):
                method(np.ones(shape))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [0.5, 0.5, 0.5]},
        {"weights": [1.5, -0.25, -0.25]},
        {"weights": [1.0]},
        {"weights": 1.0},
        {"weights": "abc"},
        {"weights": ["abc"]},
        {"means": np.full((3, 2), np.nan).tolist()},
        {"means": [[0.0, 0.0], [0.0], [1.0, 1.0]]},
        {"means": [[[[0.0]]]]},
        {"means": None},
        {"means": np.float64(3)},
        {"covariances": np.zeros((3, 2, 2)).tolist()},
        {"covariances": np.ones((3, 2, 2)).tolist()},
        {"covariances": np.ones((3, 3, 3)).tolist()},
    ],
)
def test_from_dict_refuses_what_is_no_mixture(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        GaussianMixture.from_dict(fitted(blobs()).to_dict() | change)


def test_from_dict_names_a_missing_key() -> None:
    with pytest.raises(ValueError, match="called means"):
        GaussianMixture.from_dict({"weights": [1.0], "covariances": [np.eye(2).tolist()]})


def test_a_dict_is_enough_to_make_it_again() -> None:
    mixture, x = fitted(blobs()), blobs(1)
    again = GaussianMixture.from_dict(mixture.to_dict())
    np.testing.assert_array_equal(again.score_samples(x), mixture.score_samples(x))
