"""What the tests of wet2.toml expect of the loss."""

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def beta_loss_function(
    recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, loss_type: str = "bce", beta: float = 1
) -> tuple[NDArray, NDArray, Tensor]:
    """Return the reconstruction error and the KL per image, and the loss of the beta-VAE."""
    error = {
        "bce": functional.binary_cross_entropy,
        "mse": functional.mse_loss,
        "l1": functional.l1_loss,
    }[loss_type]
    reconstruction: Tensor = error(recon_x, x, reduction="sum") / len(x)  # type: ignore[operator]
    kl = 0.5 * torch.sum(mu.square() + logvar.exp() - 1 - logvar) / len(x)
    total = reconstruction + beta * kl
    return reconstruction.data.cpu().numpy(), kl.data.cpu().numpy(), total
