from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from checkpoint import load_model
from losses import loss_function
from models import VAE
from reports.a3 import evaluate_gmm_performance, plot_2d_manifold, show_reconstruction


def test_loss_function_is_the_one_of_the_assignment() -> None:
    torch.manual_seed(0)
    x, recon = torch.rand(6, 1, 28, 28), torch.rand(6, 784)
    mu, logvar = torch.randn(6, 2), torch.randn(6, 2)
    bce = functional.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    torch.testing.assert_close(loss_function(recon, x, mu, logvar), bce + kl)


def test_show_reconstruction_takes_a_loader_of_images_and_labels(trained: Path) -> None:
    model = load_model(trained / "vae.pth", torch.device("cpu"))
    data = TensorDataset(torch.rand(12, 1, 28, 28), torch.arange(12))
    figure = show_reconstruction(model, DataLoader(data, batch_size=12), n=4)
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(shown) == 8
    np.testing.assert_array_equal(shown[2], data.tensors[0][2, 0].numpy())


def test_the_manifold_decodes_normal_quantiles(trained: Path) -> None:
    model = load_model(trained / "vae.pth", torch.device("cpu"))
    figure = plot_2d_manifold(model, n=3)
    canvas = figure.axes[0].get_images()[0].get_array()
    assert canvas is not None
    corner = model.decode(torch.tensor([[1.6448536, -1.6448536]])).view(28, 28).detach().numpy()
    np.testing.assert_allclose(canvas[56:, 56:], corner, atol=1e-5)
    with pytest.raises(ValueError, match="latent_dim"):
        plot_2d_manifold(VAE(), latent_dim=3)


def test_performance_has_the_keys_of_the_assignment() -> None:
    performance = evaluate_gmm_performance([1, 1, 4, 8], [1, 4, 4, 8])
    assert performance == {
        "accuracy": 0.75,
        "precision_macro": pytest.approx((1 + 0.5 + 1) / 3),
        "recall_macro": pytest.approx((0.5 + 1 + 1) / 3),
        "f1_macro": pytest.approx((2 / 3 + 2 / 3 + 1) / 3),
    }
