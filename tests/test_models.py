import numpy as np
import pytest
import torch
from torch.nn import functional

from models import REACH, VAE, WINDOW, FeatureGrids, mlp_vae, plane


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


@pytest.mark.parametrize("shape", [(5, 784), (5, 28, 28), (5, 1, 28, 28)])
def test_shapes_and_ranges(shape: tuple[int, ...]) -> None:
    model = VAE(side=8)
    recon, mu, logvar = model(torch.rand(shape))
    assert recon.shape == (5, 784)
    assert mu.shape == logvar.shape == (5, 2)
    assert recon.min() >= 0
    assert recon.max() <= 1
    z = model.reparameterize(mu, logvar)
    assert z.shape == (5, 2)
    assert model.decode(z).shape == (5, 784)


def test_training_decodes_a_draw_and_evaluation_the_mean() -> None:
    model, x = VAE(side=8), torch.rand(5, 784)
    mu, _ = model.encode(x)
    torch.testing.assert_close(model.eval()(x)[0], model.decode(mu))
    model.train()
    draws = [model(x, torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("peak", [(0, 0), (3, 4), (7, 6)])
def test_the_posterior_is_mean_and_variance_of_the_window_around_the_peak(
    peak: tuple[int, int],
) -> None:
    """Compared with sums over the window, in float64."""
    model, generator = VAE(side=8), torch.Generator().manual_seed(0)
    scores = torch.rand(1, 8, 8, generator=generator).double()
    scores[0, *peak] = 2
    mu, logvar = model.posterior(scores.flatten(1))
    first = [min(max(at - WINDOW // 2, 0), 8 - WINDOW) for at in peak]
    rows, columns = (slice(at, at + WINDOW) for at in first)
    shares = scores[0, rows, columns].exp()
    shares /= shares.sum()
    points = plane(8).view(8, 8, 2)[rows, columns].double()
    mean = (shares[..., None] * points).sum(dim=(0, 1))
    variance = (shares[..., None] * (points - mean).square()).sum(dim=(0, 1))
    torch.testing.assert_close(mu[0].double(), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(logvar[0].exp().double(), variance, atol=2e-5, rtol=0)


def test_gradients_reach_every_parameter() -> None:
    model = VAE(side=8)
    recon, mu, logvar = model(torch.rand(5, 784))
    (recon.sum() + mu.sum() + logvar.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())
    first = next(model.encoder.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


def test_is_small_enough() -> None:
    assert sum(p.numel() for p in VAE().parameters()) < 10_000_000


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_gaussian_draws_follow_mu_and_logvar_and_the_generator(shift: float) -> None:
    model = mlp_vae(196, 32)
    mu, logvar = torch.tensor([[1.0 + shift, -2.0]]), torch.tensor([[-2.0, 1.0]])
    rows = mu.expand(100_000, 2), logvar.expand(100_000, 2)
    z = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    torch.testing.assert_close(z.mean(dim=0), mu[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(dim=0).log(), logvar[0], atol=0.02, rtol=0)
    again = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    assert torch.equal(z, again)


def test_gradients_reach_every_parameter_of_the_gaussian_vae() -> None:
    model = mlp_vae(196, 32)
    recon, mu, logvar = model(torch.rand(5, 196))
    assert recon.shape == (5, 196)
    (recon.sum() + mu.sum() + logvar.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
