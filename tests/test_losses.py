import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

import losses


def batch(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_bce_and_mse_are_sums_over_pixels_and_means_over_images() -> None:
    recon, x = batch(0, 5, 784), batch(1, 5, 784)
    r, t = recon.numpy(), x.numpy()
    bce = -(t * np.log(r) + (1 - t) * np.log(1 - r)).sum(axis=1).mean()
    assert losses.bce(recon, x).item() == pytest.approx(bce)
    assert losses.mse(recon, x).item() == pytest.approx(((r - t) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("size", [(28, 28), (7, 7), (20, 33)])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int]) -> None:
    recon, x = batch(0, 4, *size), batch(1, 4, *size)
    recon[0] = x[0] + 0.01 * recon[0]
    x[1] = 0
    expected = [
        structural_similarity(a, b, data_range=1)
        for a, b in zip(x.numpy(), recon.numpy(), strict=True)
    ]
    np.testing.assert_allclose(losses.ssim(recon, x), expected, atol=1e-6)
    np.testing.assert_allclose(losses.ssim(recon.float(), x.float()), expected, atol=2e-4)
    np.testing.assert_allclose(losses.ssim(x, x), 1)


def test_distortion_is_squared_error_less_weighted_ssim_of_each_pair() -> None:
    recon, x = batch(0, 3, 4, 784), batch(1, 3, 1, 784)
    distortion = losses.distortion(recon, x)
    assert distortion.shape == (3, 4)
    r, t = recon[2, 3].view(28, 28).numpy(), x[2, 0].view(28, 28).numpy()
    similarity = structural_similarity(r, t, data_range=1)
    expected = np.square(r - t).sum() - losses.SSIM_WEIGHT * similarity
    assert distortion[2, 3].item() == pytest.approx(expected, abs=1e-6)


def test_ssim_has_a_gradient_where_both_images_are_black() -> None:
    recon = torch.zeros(2, 28, 28, requires_grad=True)
    losses.ssim(recon, torch.zeros(2, 28, 28)).sum().backward()
    assert recon.grad is not None
    assert torch.isfinite(recon.grad).all()


def test_kl_is_that_of_torch() -> None:
    mu, logvar = batch(0, 6, 2) * 3, batch(1, 6, 2) - 2
    posterior = Normal(mu, (0.5 * logvar).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1)
    assert losses.kl_divergence(mu, logvar).item() == pytest.approx(expected.mean().item())
    prior = Normal(torch.tensor([1.0, -2.0]), math.sqrt(0.3))
    torch.testing.assert_close(
        losses.gaussian_kl(mu, logvar, torch.tensor([1.0, -2.0]), 0.3),
        kl_divergence(posterior, prior).sum(dim=1),
    )


def test_kl_to_a_mixture_of_one_place_is_the_kl_to_it() -> None:
    mu, logvar = batch(0, 6, 2), batch(1, 6, 2)
    thrice = losses.gaussian_kl(mu[:, None], logvar[:, None], torch.zeros(3, 2))
    torch.testing.assert_close(losses.kl_to_mixture(thrice), losses.kl_divergence(mu, logvar))


def test_kl_to_a_mixture_bounds_a_monte_carlo_estimate() -> None:
    mu, logvar = torch.tensor([[0.5, 0.2]]), torch.tensor([[-3.0, -2.0]])
    means, variance = torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]), 0.4
    components = Independent(Normal(means, math.sqrt(variance)), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(3)), components)
    posterior = Independent(Normal(mu[0], (0.5 * logvar[0]).exp()), 1)
    torch.manual_seed(0)
    z = posterior.sample((200_000,))
    estimate = (posterior.log_prob(z) - mixture.log_prob(z)).mean().item()
    bound = losses.kl_to_mixture(
        losses.gaussian_kl(mu[:, None], logvar[:, None], means, variance)
    ).item()
    assert estimate - 0.01 < bound < estimate + 0.2
