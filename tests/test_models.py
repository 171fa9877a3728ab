import numpy as np
import pytest
import torch
from torch.nn import functional

from models import NEAR, REACH, VAE, WINDOW, PlaneFeatures, mlp_vae, plane


def test_the_plane_is_a_square_grid_row_by_row() -> None:
    points = plane(5).numpy()
    axis = np.linspace(-REACH, REACH, 5)
    np.testing.assert_allclose(points, [(a, b) for a in axis for b in axis])


def test_feature_grids_interpolate_like_torch() -> None:
    grids = PlaneFeatures((3, 7), features=4, waves=0)
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
    grids = PlaneFeatures((4,))
    corner, outside = grids(torch.tensor([[REACH, -REACH], [9.0, -4.0]]))[:, 2:]
    torch.testing.assert_close(outside, corner)


@pytest.mark.parametrize("shape", [(5, 784), (5, 28, 28), (5, 1, 28, 28)])
def test_shapes_and_ranges(shape: tuple[int, ...]) -> None:
    model = VAE(cells=8)
    recon, mu, logvar = model(torch.rand(shape))
    assert recon.shape == (5, 784)
    assert mu.shape == logvar.shape == (5, 2)
    assert recon.min() >= 0
    assert recon.max() <= 1
    z = model.reparameterize(mu, logvar)
    assert z.shape == (5, 2)
    assert model.decode(z).shape == (5, 784)


def test_training_decodes_a_draw_and_evaluation_the_mean() -> None:
    model, x = VAE(cells=8), torch.rand(5, 784)
    mu, _ = model.encode(x)
    torch.testing.assert_close(model.eval()(x)[0], model.decode(mu))
    model.train()
    draws = [model(x, torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_waves_repeat_in_every_cell_of_the_finest_grid() -> None:
    """The expected waves are sines and cosines in float64."""
    features = PlaneFeatures((3, 9), features=1, waves=2)
    z = 2 * REACH * torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) - REACH
    waves = features(z)[:, 4:]
    place = (z.double() + REACH) / (2 * REACH) * 8  # in cells
    angles = torch.stack([2 * np.pi * k * place[:, i] for i in (0, 1) for k in (1, 2)], dim=1)
    expected = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    torch.testing.assert_close(waves, expected, atol=1e-4, rtol=0)
    left = torch.full_like(z, -REACH) + (place.float() % 1) * (2 * REACH / 8)
    torch.testing.assert_close(features(left)[:, 4:], waves, atol=1e-4, rtol=0)


@pytest.mark.parametrize("peak", [(0, 0), (3, 4), (7, 6)])
def test_the_posterior_is_mean_and_variance_of_the_window_around_the_peak(
    peak: tuple[int, int],
) -> None:
    """The expected values are sums over the window, in float64."""
    model, generator = VAE(cells=8), torch.Generator().manual_seed(0)
    scores = torch.rand(1, NEAR, NEAR, generator=generator).double()
    scores[0, *peak] = 2
    near = torch.arange(32**2).view(32, 32)[5 : 5 + NEAR, 20 : 20 + NEAR]
    mu, logvar = model.posterior(near.reshape(1, -1), scores.flatten(1))
    first = [min(max(at - WINDOW // 2, 0), NEAR - WINDOW) for at in peak]
    rows, columns = (slice(at, at + WINDOW) for at in first)
    shares = scores[0, rows, columns].exp()
    shares /= shares.sum()
    points = plane(32)[near][rows, columns].double()
    mean = (shares[..., None] * points).sum(dim=(0, 1))
    variance = (shares[..., None] * (points - mean).square()).sum(dim=(0, 1))
    torch.testing.assert_close(mu[0].double(), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(logvar[0].exp().double(), variance, atol=2e-6, rtol=0)


def test_the_points_of_a_cell_lie_together_and_those_near_surround_it() -> None:
    model = VAE(cells=8)
    points = model.points()[model.points_of_cells()]
    assert sorted(model.points_of_cells().flatten().tolist()) == list(range(32**2))
    spacing = 2 * REACH / 31
    extent = points.amax(dim=1) - points.amin(dim=1)
    torch.testing.assert_close(extent, torch.full((64, 2), 3 * spacing))
    x = torch.rand(20, 784)
    cell_scores, near, point_scores = model.scores(x)
    assert cell_scores.shape == (20, 64)
    assert near.shape == point_scores.shape == (20, NEAR**2)
    own = model.points_of_cells()[cell_scores.argmax(dim=1)]
    assert (own[:, :, None] == near[:, None]).any(dim=2).all()
    mu, _ = model.encode(x)
    around = model.points()[near]
    assert (mu >= around.amin(dim=1)).all()
    assert (mu <= around.amax(dim=1)).all()


def test_gradients_reach_every_parameter() -> None:
    model = VAE(cells=8)
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
