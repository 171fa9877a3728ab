import torch

from models import VAE


def test_shapes_and_ranges() -> None:
    model = VAE()
    recon, mu, logvar = model(torch.rand(5, 784))
    assert recon.shape == (5, 784)
    assert mu.shape == logvar.shape == (5, 2)
    assert recon.min() >= 0
    assert recon.max() <= 1


def test_is_small_enough() -> None:
    assert sum(p.numel() for p in VAE().parameters()) < 2_000_000


def test_draws_follow_mu_and_logvar_and_the_generator() -> None:
    model = VAE()
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[-2.0, 1.0]])
    rows = mu.expand(100_000, 2), logvar.expand(100_000, 2)
    z = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    torch.testing.assert_close(z.mean(dim=0), mu[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(dim=0).log(), logvar[0], atol=0.02, rtol=0)
    again = model.reparameterize(*rows, torch.Generator().manual_seed(3))
    assert torch.equal(z, again)


def test_gradients_reach_every_parameter() -> None:
    model = VAE()
    recon, mu, logvar = model(torch.rand(5, 784))
    (recon.sum() + mu.sum() + logvar.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
