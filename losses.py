"""Reconstruction terms and KL divergences, which training adds up to the loss that it minimises.

A term is summed over one image (or one latent) and averaged over the batch. Reconstruction + KL
is the negative evidence lower bound of Kingma and Welling, "Auto-Encoding Variational Bayes"
(arXiv 1312.6114). With the KL weighted by beta, it is that of Higgins et al., "beta-VAE" (ICLR
2017).
"""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

SSIM_WINDOW = 7  # scikit-image's default window, which is used to score submissions
SSIM_WEIGHT = 60.0  # of an SSIM of 1, relative to the squared error; SSIM is half of the score


def bce(recon: Tensor, x: Tensor) -> Tensor:
    """Return the binary cross-entropy, in nats per image. `recon`, `x`: (B, ...) in [0, 1]."""
    return functional.binary_cross_entropy(recon, x, reduction="sum") / len(x)


def mse(recon: Tensor, x: Tensor) -> Tensor:
    """Return the squared error summed over the pixels of an image. `recon`, `x`: (B, ...)."""
    return functional.mse_loss(recon, x, reduction="sum") / len(x)


def l1(recon: Tensor, x: Tensor) -> Tensor:
    """Return the absolute error summed over the pixels of an image. `recon`, `x`: (B, ...)."""
    return functional.l1_loss(recon, x, reduction="sum") / len(x)


def gaussian_kl(
    mu: Tensor, logvar: Tensor, mean: Tensor | float = 0.0, variance: float = 1.0
) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(mean, variance I)) in nats, summed over the last axis.

    See Kingma and Welling (arXiv 1312.6114), appendix B; here the prior has any mean and variance.
    """
    distance = (mu - mean).square() + logvar.exp()
    return 0.5 * (distance / variance - 1 - logvar + math.log(variance)).sum(dim=-1)


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the KL to the standard normal, in nats per image. `mu`, `logvar`: (B, latent)."""
    return gaussian_kl(mu, logvar).mean()


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return binary cross-entropy plus KL divergence, both summed over the whole batch, in nats.

    `recon_x`, `x`: (B, ...) in [0, 1] with the same number of pixels; `mu`, `logvar`: (B, latent).
    This is the negative evidence lower bound under its usual name; training weights its terms
    differently.
    """
    flat = x.reshape(len(x), -1)
    return len(x) * (bce(recon_x.reshape(flat.shape), flat) + kl_divergence(mu, logvar))


def kl_to_mixture(component_kl: Tensor) -> Tensor:
    """Return the KL to a mixture of K equally likely Gaussians, in nats per image.

    `component_kl`: the KL to each Gaussian, (B, K). This is the variational bound of Hershey and
    Olsen, "Approximating the Kullback Leibler divergence between Gaussian mixture models" (ICASSP
    2007), equation 20. It is exact if the K Gaussians coincide.
    """
    return (math.log(component_kl.shape[1]) - torch.logsumexp(-component_kl, dim=1)).mean()


@functools.cache
def window_means(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (size - 6, size) matrix that maps a signal to its sliding-window means."""
    with torch.inference_mode(False):  # training may use the cached result after inference has
        rows = torch.eye(size, dtype=dtype, device=device).unfold(0, SSIM_WINDOW, 1)
        return rows.mean(dim=-1)


def ssim(recon: Tensor, x: Tensor) -> Tensor:
    """Return the structural similarity of each image, averaged over pixels; 1 for equal images.

    `recon`, `x`: (..., H, W) in [0, 1], which may differ in leading axes that broadcast; the result
    is (...). It is the same number as scikit-image's `structural_similarity` with its defaults and
    `data_range=1`: a uniform 7 x 7 window, the sample covariance, no border. Wang et al., "Image
    Quality Assessment: From Error Visibility to Structural Similarity" (2004), equation 13.
    """
    height, width = x.shape[-2:]
    vertical = window_means(height, x.dtype, x.device)
    horizontal = window_means(width, x.dtype, x.device).T
    mean_r, mean_x, mean_squares, mean_rx = (
        vertical @ moment @ horizontal for moment in (recon, x, recon * recon + x * x, recon * x)
    )
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    product, squares = mean_r * mean_x, mean_r * mean_r + mean_x * mean_x
    covariance, variances = sample * (mean_rx - product), sample * (mean_squares - squares)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * product + c1) * (2 * covariance + c2)
    return (similarity / ((squares + c1) * (variances + c2))).mean(dim=(-2, -1))


def distortion(recon: Tensor, x: Tensor) -> Tensor:
    """Return the squared error of each image, minus `SSIM_WEIGHT` times its SSIM.

    `recon`, `x`: (..., 784) in [0, 1], which may differ in leading axes that broadcast.
    """
    similarity = ssim(*(images.unflatten(-1, (28, 28)) for images in (recon, x)))
    return (recon - x).square().sum(dim=-1) - SSIM_WEIGHT * similarity
