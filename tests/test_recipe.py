import math

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Generator, Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import recipe
from data import DigitDataset
from inference import decode_points
from losses import distortion
from models import REACH, VAE, mlp_vae, plane
from recipe import (
    MARGIN,
    MOST_COMPONENTS,
    SEPARATION,
    Amortisation,
    EvidenceBound,
    FreeLatents,
    Layout,
    Prior,
)
from tests.conftest import shapes

CPU = torch.device("cpu")


def dataset(count: int = 30) -> DigitDataset:
    return DigitDataset(shapes(count, 0)[0] / np.float32(255), CPU)


def generator() -> Generator:
    return Generator().manual_seed(0)


def free_latents(count: int = 30) -> FreeLatents:
    """Return latents at random places of the plane, under an untrained decoder."""
    torch.manual_seed(0)
    z, components = 4 * torch.rand(count, 2) - 2, torch.arange(count) % 3
    return FreeLatents(VAE(), dataset(count), generator(), (z, Prior(3), components))


@pytest.mark.parametrize("count", range(2, MOST_COMPONENTS + 1))
def test_the_prior_has_mean_0_and_variance_1_and_components_apart(count: int) -> None:
    prior = Prior(count)
    assert prior.means.shape == (count, 2)
    torch.testing.assert_close(prior.means.mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    covariance = prior.means.T @ prior.means / count + prior.variance * torch.eye(2)
    assert covariance.trace().item() == pytest.approx(2)
    if count > 2:
        torch.testing.assert_close(covariance, torch.eye(2), atol=1e-5, rtol=0)
    nearest = torch.pdist(prior.means).min() / math.sqrt(prior.variance)
    assert nearest.item() == pytest.approx(SEPARATION, rel=1e-4)


def test_a_component_charges_infinitely_outside_its_part() -> None:
    prior, z = Prior(3), plane(40)
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


def test_each_cluster_gets_a_component_and_neighbours_on_the_circle_look_alike() -> None:
    layout = Layout(dataset(96), 3, generator())
    truth = np.arange(96) % 3
    assert adjusted_rand_score(truth, layout.components) == 1
    means = torch.stack([layout.images[torch.arange(96) % 8 == k].mean(dim=0) for k in range(8)])
    layout.images, many = means.repeat_interleave(12, dim=0), torch.arange(8).repeat_interleave(12)
    places = layout.places(many, 8)
    assert sorted(places.tolist()) == list(range(8)), "each cluster a place of its own"
    middle = (means - means.mean(dim=0)).square().sum(dim=1).argsort()
    assert places.tolist().index(0) in middle[:3].tolist(), "the middle is for an average image"


def test_the_layout_leads_latents_into_the_part_of_their_component() -> None:
    data = dataset(96)
    layout, model = Layout(data, 3, generator()), mlp_vae(196, 32)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        layout.step(model, torch.arange(96), 0.0)["loss"].backward()
        optimizer.step()
    z, prior, components = layout.result(model)
    assert prior.cost(z).gather(1, components[:, None]).isfinite().float().mean() > 0.95


def test_the_first_loss_is_finite_and_reaches_every_parameter() -> None:
    model = mlp_vae(196, 32)
    terms = Layout(dataset(), 3, generator()).step(model, torch.arange(30), 0.5)
    terms["loss"].backward()
    assert all(math.isfinite(value.item()) for value in terms.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def loss_at(latents: FreeLatents, z: Tensor) -> Tensor:
    """Return the negative ELBO of each image at a latent, up to a constant: (N,)."""
    with torch.no_grad():
        recon = latents.model.decode(z)
    cost = latents.prior.cost(z)[torch.arange(len(z)), latents.components]
    return distortion(recon, latents.dataset.images) + cost


def test_the_search_is_at_least_as_good_as_the_nearest_point_and_as_before() -> None:
    """The nearest point is found from all distances to the same grid, in float64, on all pixels."""
    latents = free_latents()
    before = latents.z.clone()
    latents.search()
    assert (loss_at(latents, latents.z) <= loss_at(latents, before) + 1e-3).all()
    assert loss_at(latents, latents.z).isfinite().all()
    assert not torch.equal(latents.z, before)

    replay = generator()
    shift = torch.rand(2, generator=replay) - 0.5
    points = plane(recipe.SIDE) + 2 * REACH / (recipe.SIDE - 1) * shift
    decoded = decode_points(latents.model, points).double()
    error = torch.cdist(latents.dataset.images.double(), decoded).square()
    error += latents.prior.cost(points).double().T[latents.components]
    nearest = loss_at(latents, points[error.argmin(dim=1)])
    for z in (latents.z, latents.offers):
        assert loss_at(latents, z).mean() <= 1.01 * nearest.mean()


def test_an_image_moves_to_its_offer_exactly_if_that_is_better() -> None:
    latents = free_latents()
    latents.search()
    for _ in range(3):
        before = latents.z.clone()
        latents.search()
        own, offered = loss_at(latents, before), loss_at(latents, latents.offers)
        assert torch.equal(latents.z, torch.where((offered < own)[:, None], latents.offers, before))
    assert not torch.equal(latents.z, latents.offers)


def test_the_search_waits_for_the_decoder_to_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    latents = free_latents()
    before = latents.z.clone()
    monkeypatch.setattr(recipe, "SEARCH_INTERVAL", 5)
    for _ in range(4):
        latents.search_if_due(1)
        assert torch.equal(latents.z, before)
    latents.search_if_due(1)
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


@pytest.mark.slow
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
