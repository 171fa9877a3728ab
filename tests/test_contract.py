"""The uses that the assignment's own code cells make of the model, on the saved weights.

The tests follow the assignment's signatures. Each runs on the repository's network and on the
bundle's.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import losses
import models
from grader.shipping.bundle import bundle


def load_bundle(folder: Path) -> ModuleType:
    path = folder / "bundled_vae.py"
    path.write_text(bundle())
    spec = importlib.util.spec_from_file_location("bundled_vae", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bundled_vae"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["repository", "bundle"])
def code(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a module that holds VAE and loss_function."""
    if request.param == "bundle":
        return load_bundle(tmp_path)
    both = ModuleType("both")
    both.__dict__.update(VAE=models.VAE, loss_function=losses.loss_function)
    return both


@pytest.fixture
def model(code: Any, trained: Path) -> nn.Module:
    network: nn.Module = code.VAE()
    network.load_state_dict(torch.load(trained / "vae.pth"))
    return network.eval()


@pytest.fixture
def loader(files: Path) -> DataLoader:
    arrays = np.load(files / "test.npz")
    images = torch.from_numpy(arrays["data"]).float()[:, None] / 255
    return DataLoader(TensorDataset(images, torch.from_numpy(arrays["labels"])), batch_size=12)


def test_reconstructions_are_shown(model: nn.Module, loader: DataLoader) -> None:
    data, _ = next(iter(loader))
    recon, _, _ = model(data)
    figure, axes = plt.subplots(2, 10)
    for i in range(10):
        axes[0, i].imshow(data[i].cpu().numpy().squeeze(), cmap="gray")
        axes[1, i].imshow(recon[i].cpu().view(28, 28).detach().numpy(), cmap="gray")
    plt.close(figure)
    error = (recon.view(-1, 28, 28) - data.squeeze()).square().mean()
    assert error < (data - data.mean(dim=0)).square().mean() / 2


def test_the_manifold_is_decoded_point_by_point(model: Any) -> None:
    grid = norm.ppf(np.linspace(0.05, 0.95, 5))
    canvas = np.zeros((5 * 28, 5 * 28))
    with torch.no_grad():
        for row, y in enumerate(grid):
            for column, x in enumerate(grid):
                z = torch.tensor([[x, y]], dtype=torch.float32)
                digit = model.decode(z).cpu().numpy().reshape(28, 28)
                canvas[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)] = digit
    assert canvas.std() > 0.1


def test_the_loss_falls_in_a_training_loop(code: Any, loader: DataLoader) -> None:
    torch.manual_seed(0)
    model = code.VAE().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    totals: list[float] = []
    for _ in range(4):
        totals.append(0.0)
        for data, _ in loader:
            recon, mu, logvar = model(data)
            loss: Tensor = code.loss_function(recon, data, mu, logvar)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals[-1] += loss.item()
    assert np.isfinite(totals).all()
    assert totals[-1] < totals[0]


def test_means_of_the_posterior_can_be_clustered_and_scored(model: Any, loader: DataLoader) -> None:
    with torch.no_grad():
        mu = torch.cat([model.encode(data)[0] for data, _ in loader]).numpy()
    labels = np.concatenate([labels.numpy() for _, labels in loader])
    centres = np.stack([mu[labels == label].mean(axis=0) for label in (1, 4, 8)])
    nearest = np.linalg.norm(mu[:, None] - centres, axis=2).argmin(axis=1)
    predicted = np.array([1, 4, 8])[nearest]
    assert accuracy_score(labels, predicted) > 0.9
    assert f1_score(labels, predicted, average="macro") > 0.9
