import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import recipe
from benchmarks.common import course_file
from benchmarks.scores import draw, score
from data import DigitDataset, ShuffledBatches, distorted, load_labelled_images
from grader.metrics import reconstruction_scores
from inference import decode_points, encode, reconstruct
from losses import distortion
from models import REACH, VAE, GaussianVAE, mlp_vae, plane
from recipe import (
    BATCH_SIZE,
    MARGIN,
    WARM_UP,
    Amortisation,
    EvidenceBound,
    FreeLatents,
    Layout,
    Prior,
    train_vae,
)
from tests.conftest import shapes

THIRDS = np.array([0, 2, 4]) * math.pi / 3
CORNERS = torch.tensor([[math.cos(a), math.sin(a)] for a in THIRDS], dtype=torch.float32)
CPU = torch.device("cpu")


def dataset(count: int = 30) -> DigitDataset:
    return DigitDataset(shapes(count, 0)[0] / np.float32(255), CPU)


def generator() -> Generator:
    return Generator().manual_seed(0)


def free_latents(count: int = 30) -> FreeLatents:
    """Latents at random places of the plane, under a decoder that nobody trained."""
    torch.manual_seed(0)
    z, components = 4 * torch.rand(count, 2) - 2, torch.arange(count) % 3
    batches = ShuffledBatches(count, BATCH_SIZE, generator())
    return FreeLatents(VAE(), dataset(count), batches, (z, Prior(CORNERS), components))


def test_the_prior_has_mean_0_and_covariance_1() -> None:
    prior = Prior(CORNERS)
    torch.testing.assert_close(prior.means.mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    covariance = prior.means.T @ prior.means / 3 + prior.variance * torch.eye(2)
    torch.testing.assert_close(covariance, torch.eye(2))


def test_a_component_charges_infinitely_outside_its_part() -> None:
    prior, z = Prior(CORNERS), plane(40)
    components = Independent(Normal(prior.means, math.sqrt(prior.variance)), 1)
    joint = components.log_prob(z[:, None])
    mixture = MixtureSameFamily(Categorical(torch.ones(3)), components)
    responsibilities = (joint - math.log(3) - mixture.log_prob(z)[:, None]).exp()
    cost = prior.cost(z)
    assert torch.equal(cost.isinf(), responsibilities < MARGIN)
    inside = ~cost.isinf()
    peak = components.log_prob(prior.means).expand_as(joint)
    expected = recipe.BETA * (peak - joint)
    torch.testing.assert_close(cost[inside], expected[inside], atol=1e-4, rtol=1e-4)


class Points(DigitDataset):
    """Images that show points of the plane: the upper half one number, the lower the other."""

    def __init__(self, z: np.ndarray) -> None:
        self.images = torch.tensor(z, dtype=torch.float32).repeat_interleave(392, dim=1)


class Identity(GaussianVAE):
    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = x[:, [0, -1]]
        return z, z


def clusters(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters of 200 points around corners, and the corners."""
    corners = np.array([[math.cos(a + angle), math.sin(a + angle)] for a in THIRDS])
    noise = np.random.default_rng(0).normal(scale=0.3, size=(3, 200, 2))
    return (corners[:, None] + noise).reshape(-1, 2), corners


@pytest.mark.parametrize("angle", [0.0, 0.7, 1.9, 2.5])
def test_the_triangle_turns_towards_the_clusters(angle: float) -> None:
    z, corners = clusters(angle)
    turned = Layout(Points(z), generator()).turn_corners(Identity()).numpy()
    nearest = np.linalg.norm(turned[:, None] - corners, axis=2).min(axis=1)
    assert nearest.max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, rtol=1e-5)


def test_each_image_joins_the_component_of_its_neighbours() -> None:
    z, _ = clusters(0.3)
    strayed = z.copy()
    strayed[0], strayed[250] = z[300], z[10]  # two points whose latents the encoder gets wrong

    class Strayed(Identity):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            moved = torch.tensor(strayed).to(x)
            return moved, moved

    _, _, components = Layout(Points(z), generator()).result(Strayed())
    truth = np.repeat(np.arange(3), 200)
    for k in range(3):
        assert np.bincount(components[truth == k], minlength=3).max() >= 198
    assert components[0] == components[1]
    assert components[250] == components[251]


def test_views_are_distorted_copies_of_neighbours() -> None:
    layout = Layout(dataset(96), generator())
    index = torch.arange(96)
    own = layout.neighbours == index[:, None]
    assert own.any(dim=1).all()
    views = layout.views(index)
    assert views.shape == (96, 196)
    nearest = (views[:, None] - layout.images).square().sum(dim=2).argmin(dim=1)
    assert (nearest % 3 == index % 3).float().mean() > 0.9


@pytest.mark.parametrize("progress", [0.0, WARM_UP, 0.3, 0.99])
def test_the_first_loss_is_finite_and_reaches_every_parameter(progress: float) -> None:
    model = mlp_vae(196, 32)
    terms = Layout(dataset(), generator()).step(model, torch.arange(30), progress)
    terms["loss"].backward()
    assert all(math.isfinite(value.item()) for value in terms.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def loss_at(latents: FreeLatents, z: Tensor, x: Tensor | None = None) -> Tensor:
    """Return the negative ELBO of each image, or of x, at a latent, up to a constant: (N,)."""
    with torch.no_grad():
        recon = latents.model.decode(z)
    cost = latents.prior.cost(z)[torch.arange(len(z)), latents.components]
    return distortion(recon, latents.dataset.images if x is None else x) + cost


def test_the_search_is_at_least_as_good_as_the_nearest_point_and_as_before() -> None:
    """Compared with all distances to the same grid, in float64 and from all pixels."""
    latents = free_latents()
    before = latents.z.clone()
    latents.search()
    assert (loss_at(latents, latents.z) <= loss_at(latents, before) + 1e-3).all()
    assert loss_at(latents, latents.z).isfinite().all()
    assert not torch.equal(latents.z, before)

    replay = generator()
    distorted(latents.dataset.images, replay, recipe.COPY_STRENGTH)
    shift = torch.rand(2, generator=replay) - 0.5
    points = plane(recipe.SIDE) + 2 * REACH / (recipe.SIDE - 1) * shift
    decoded = decode_points(latents.model, points).double()
    for x, z in ((latents.dataset.images, latents.z), (latents.copies, latents.copy_z)):
        error = torch.cdist(x.double(), decoded).square()
        error += latents.prior.cost(points).double().T[latents.components]
        offer = loss_at(latents, points[error.argmin(dim=1)], x)
        assert loss_at(latents, z, x).mean() <= 1.01 * offer.mean()


def test_copies_are_new_after_each_search_and_stay_close_to_their_images() -> None:
    latents = free_latents()
    images = latents.dataset.images
    latents.search()
    first = latents.copies
    latents.search()
    assert not torch.equal(latents.copies, first)
    for copies in (first, latents.copies):
        own = (copies - images).square().sum(dim=1)
        assert (own > 0).all()
        assert own.median() < torch.cdist(images, images).square().median() / 4


def test_the_search_waits_for_the_decoder_to_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    latents = free_latents()
    before = latents.z.clone()
    monkeypatch.setattr(recipe, "SEARCH_INTERVAL", 5)
    for _ in range(5):
        assert sorted(torch.cat(list(latents)).tolist()) == list(range(30))
        assert torch.equal(latents.z, before)
    next(iter(latents))
    assert not torch.equal(latents.z, before)


def test_the_second_loss_trains_the_decoder_and_the_third_the_encoder() -> None:
    latents = free_latents()
    model = latents.model
    latents.search()
    for step, trained, rest in (
        (latents.step, model.decoder, model.encoder),
        (Amortisation(model, latents.dataset, latents, generator()).step, model.encoder, None),
    ):
        model.zero_grad(set_to_none=True)
        terms = step(model, torch.arange(30), 0.5)
        terms["loss"].backward()
        assert all(math.isfinite(value.item()) for value in terms.values())
        other = model.decoder if rest is None else rest
        assert all(p.grad is not None for p in trained.parameters())
        assert all(p.grad is None for p in other.parameters())


def test_the_fourth_loss_is_the_weighted_bound_of_a_draw_and_trains_the_whole_network() -> None:
    model, images = VAE(), dataset().images
    terms = EvidenceBound(dataset(), generator()).step(model, torch.arange(30), 0.5)
    terms["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        mu, logvar = model.encode(images)
        recon = model.decode(model.reparameterize(mu, logvar, generator()))
    kl = 0.5 * (mu.double().square() + logvar.double().exp() - 1 - logvar).sum(dim=1)
    expected = (distortion(recon, images) + recipe.ELBO_BETA * kl).mean()
    torch.testing.assert_close(terms["loss"].double(), expected.double(), atol=1e-3, rtol=1e-4)


def test_the_encoder_learns_to_stay_within_the_component() -> None:
    latents = free_latents()
    model = latents.model
    amortisation = Amortisation(model, latents.dataset, latents, generator())
    optimizer = torch.optim.Adam(model.encoder.parameters(), 1e-3)

    def share_within() -> float:
        z, _ = model.encode(latents.dataset.images)
        cost = latents.prior.cost(z)[torch.arange(30), latents.components]
        return cost.isfinite().float().mean().item()

    assert share_within() < 0.6
    for _ in range(100):
        optimizer.zero_grad()
        amortisation.step(model, torch.arange(30), 0.0)["loss"].backward()
        optimizer.step()
    assert share_within() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_scores_hold_over_seeds_and_validation_draws(course_data: Path, seed: int) -> None:
    """On the course's data and half of the epochs: a quarter can be too few for three clusters."""
    images, labels = load_labelled_images(course_file("train"))
    test_images, truth = load_labelled_images(course_file("test"))
    torch.manual_seed(seed)
    model, _ = train_vae(images, CPU, recipe.EPOCHS // 2, math.inf)
    z, test_z = encode(model, images), encode(model, test_images)
    assert np.abs(z.mean(axis=0)).max() < 0.3
    assert np.abs(z.std(axis=0) - 1).max() < 0.3
    for number in range(20):
        i = draw(labels, number)
        assert score(z, test_z, truth, z[i], labels[i]) > 0.975
    for encoder_only, floors in ((False, (0.98, 0.8)), (True, (0.975, 0.76))):
        recon = reconstruct(model, test_images, encoder_only=encoder_only)
        scores = reconstruction_scores(test_images.astype(float), recon.astype(float))
        assert scores["one_minus_mse"].value > floors[0]
        assert scores["ssim"].value > floors[1]
    noise = np.random.default_rng(0).random((50, 28, 28), np.float32)
    found = reconstruct(model, noise)
    assert reconstruction_scores(noise.astype(float), found.astype(float))["ssim"].value < 0.1
