import numpy as np
import pytest
import torch
from torch.nn import functional

from models import REACH, VAE, FeatureGrids, GaussianVAE, plane


def test_the_plane_is_a_square_grid_row_by_row() -> None:
    points = plane(5).numpy()
    axis = np.linspace(-REACH, REACH, 5)
    np.testing.assert_allclose(points, [(a, b) for a in axis for b in axis])


def test_feature_grids_interpolate_like_torch() -> None:
    grids = FeatureGrids((3, 7), features=4)
    z = 2 * REACH * torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) - REACH
    features = grids(z)
    assert features.shape == (50, grids.outputs)
    torch.testing.assert_close(features[:, :2], z)
    place = (z / REACH).flip(1).view(1, 50, 1, 2)  # torch's order is column, row
    for i, side in enumerate(grids.sides):
        table = grids.tables[i].T.reshape(1, 4, side, side)
        expected = functional.grid_sample(table, place, align_corners=True)[0, :, :, 0].T
        torch.testing.assert_close(features[:, 2 + 4 * i : 6 + 4 * i], expected)


def test_feature_grids_go_on_flat_outside_the_plane() -> None:
    grids = FeatureGrids((4,))
    corner, outside = grids(torch.tensor([[REACH, -REACH], [9.0, -4.0]]))[:, 2:]
    torch.testing.assert_close(outside, corner)


def test_shapes_and_ranges() -> None:
    model = VAE(side=8)
    x = torch.rand(5, 784)
    assert model.posterior(x).shape == (5, 64)
    torch.testing.assert_close(model.posterior(x).exp().sum(dim=1), torch.ones(5))
    z = model.encode(x)
    assert z.shape == (5, 2)
    recon = model.decode(z)
    assert recon.shape == (5, 784)
    assert recon.min() >= 0
    assert recon.max() <= 1


def test_encode_gives_the_most_probable_cell() -> None:
    model = VAE(side=8)
    x = torch.rand(5, 784)
    for z, log_posterior in zip(model.encode(x), model.posterior(x), strict=True):
        assert torch.equal(z, plane(8)[log_posterior.argmax()])


def test_is_small_enough() -> None:
    assert sum(p.numel() for p in VAE().parameters()) < 10_000_000


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_gaussian_draws_follow_mu_and_logvar_and_the_generator(shift: float) -> None:
    model = GaussianVAE(196, 32)
    mu, logvar = torch.tensor([[1.0 + shift, -2.0]]), torch.tensor([[-2.0, 1.0]])
    rows = mu.expand(100_000, 2), logvar.expand(100_000, 2)
    z = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    torch.testing.assert_close(z.mean(dim=0), mu[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(dim=0).log(), logvar[0], atol=0.02, rtol=0)
    again = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    assert torch.equal(z, again)


def test_gradients_reach_every_parameter_of_the_gaussian_vae() -> None:
    model = GaussianVAE(196, 32)
    recon, mu, logvar = model(torch.rand(5, 196))
    assert recon.shape == (5, 196)
    (recon.sum() + mu.sum() + logvar.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
