"""A small notebook in the form that the beta-VAE course asks for, and ways to damage it."""

import base64
import copy
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

NAME = "ee046202_wet2_012345678_876543210.ipynb"
Cells = list[dict[str, Any]]

IMPORTS = """import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
"""
NETWORK = """def reparameterize(mu, logvar, device=torch.device("cpu")):
    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)


class Vae(nn.Module):
    def __init__(self, x_dim=784, z_dim=10, hidden_size=256, device=None, cond_dim=None):
        super().__init__()
        extra = cond_dim or 0
        self.z_dim = z_dim
        self.hidden = nn.Linear(x_dim + extra, hidden_size)
        self.mu, self.logvar = nn.Linear(hidden_size, z_dim), nn.Linear(hidden_size, z_dim)
        self.decoder = nn.Sequential(
            nn.Linear(z_dim + extra, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, x_dim),
            nn.Sigmoid(),
        )

    def join(self, x, x_cond):
        return x if x_cond is None else torch.cat([x, x_cond], dim=1)

    def sample(self, num_samples=1, x_cond=None):
        z = torch.randn(num_samples, self.z_dim)
        return self.decoder(self.join(z, x_cond))

    def forward(self, x, x_cond=None):
        h = torch.relu(self.hidden(self.join(x, x_cond)))
        mu, logvar = self.mu(h), self.logvar(h)
        z = reparameterize(mu, logvar)
        return self.decoder(self.join(z, x_cond)), mu, logvar, z
"""
LOSS = """def beta_loss_function(recon_x, x, mu, logvar, loss_type='bce', beta=1):
    errors = {'bce': F.binary_cross_entropy, 'mse': F.mse_loss, 'l1': F.l1_loss}
    recon = errors[loss_type](recon_x, x, reduction='sum') / x.size(0)
    kl_d = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / x.size(0)
    return recon.data.cpu().numpy(), kl_d.data.cpu().numpy(), recon + beta * kl_d
"""
ONE_HOT = """def labels_to_one_hots(batch, num_classes=10):
    one_hot_batch = torch.zeros(batch.size(0), num_classes)
    for i in range(batch.size(0)):
        one_hot_batch[i, int(batch[i])] = 1
    return one_hot_batch
"""
TRAINING = """%matplotlib inline
device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
for beta in [0.05, 0.5, 1, 5]:
    model = train(Vae(), beta)
    torch.save(model.state_dict(), f'./beta_{beta}_vae_{50}_epochs.pth')
"""
CONDITIONAL = """model = train(Vae(cond_dim=10), 2)
torch.save(model.state_dict(), 'fmnist_beta_' + str(2) + '_cvae_100_epochs.pth')
"""


def picture() -> str:
    """Return a small PNG as base64."""
    content = io.BytesIO()
    Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    """Return a code cell; it is numbered, as if it had been run, by `notebook`."""
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": [*outputs]}


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": [text]}


def shown() -> dict[str, Any]:
    data = {"image/png": picture(), "text/plain": ["<Figure size 640x480>"]}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def honest() -> Cells:
    """Return the cells of a notebook that does what the course asks for, except the bonus."""
    return [
        markdown(
            "# Computer assignment 2\\n\n| Name | Campus Email | ID |\n|---|---|---|\n"
            "| Noa | noa@campus.example | 012345678 |\n| Gil | gil@campus.example | 876543210 |"
        ),
        code(IMPORTS),
        markdown("## Part 1 - VAE"),
        code(NETWORK),
        markdown("### Task 1 - beta-VAE"),
        code(LOSS),
        code(TRAINING, printed("epoch 50: reconstruction 81.2, KL 24.9\n"), shown()),
        markdown("### Question 1 - beta-VAE\n\n1. The loss has **two** terms, $a + \\beta b$."),
        markdown("### Task 2 - Conditional VAE"),
        code(ONE_HOT),
        code(CONDITIONAL, shown()),
        markdown("### Question 2 - Conditional VAE\n\nA number would order the classes."),
        markdown("### Question 3 - Spectral Clustering\n\nIt starts at random."),
        markdown("### Task 3 - Segmentation"),
        code("print('60 clusters')", printed("60 clusters\n"), shown()),
        markdown("### Question 4 - Segmentation\n\nSpectral clustering needs more memory."),
    ]


def notebook(cells: Cells, *, numbered: bool = True) -> str:
    """Return the JSON of a notebook, whose code cells were run from top to bottom."""
    cells, count = copy.deepcopy(cells), 0
    for cell in cells:
        if cell["cell_type"] == "code" and "execution_count" not in cell:
            count += 1
            cell["execution_count"] = count if numbered else None
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def changed(old: str, new: str) -> Callable[[Cells], None]:
    """Return a change of the code: every `old` becomes `new`."""

    def change(cells: Cells) -> None:
        assert any(old in cell["source"] for cell in cells), old
        for cell in cells:
            cell["source"] = cell["source"].replace(old, new)

    return change
