"""The convolutional VAE of the beta-VAE assignment's bonus task, with the layers it specifies.

Images are (B, 3, 60, 60) in [0, 1]. Reconstructions are (B, 60, 60, 3), as the assignment's call of
the loss expects them. The assignment does not say which nonlinearity follows the decoder's first
batch normalisation; here it is a ReLU, as after all others.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from studies.shared.networks import CPU, Bottleneck, ConditionalVae, with_condition


class VaeCnnEncoder(Bottleneck):
    """The encoder: images and, with `cond_dim`, a condition -> z, mu, logvar, each (B, z_dim)."""

    def __init__(
        self,
        x_shape: tuple[int, ...] = (3, 60, 60),
        z_dim: int = 128,
        device: torch.device = CPU,
        cond_dim: int = 0,
    ) -> None:
        super().__init__()
        self.z_dim, self.cond_dim = z_dim, cond_dim
        sizes = (x_shape[0], 128, 64 * 4, 64 * 8)
        blocks: list[nn.Module] = []
        for size, larger in pairwise(sizes):
            convolution = nn.Conv2d(size, larger, kernel_size=3, stride=2, padding=1)
            blocks += [convolution, nn.BatchNorm2d(larger), nn.ReLU()]
        self.features = nn.Sequential(*blocks)
        width = self._get_conv_out(x_shape) + cond_dim
        self.fc1, self.fc2 = nn.Linear(width, z_dim), nn.Linear(width, z_dim)
        self.to(device)

    @torch.no_grad()
    def _get_conv_out(self, shape: tuple[int, ...]) -> int:
        """Count the features that the blocks compute from one image of a shape (C, H, W).

        Only the convolutions change the shape, and they have no mode, no statistics and no noise.
        """
        x = torch.zeros(1, *shape, device=next(self.features.parameters()).device)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                x = layer(x)
        return x.numel()

    def forward(self, x: Tensor, x_cond: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return self.bottleneck(with_condition(self.features(x).flatten(1), x_cond))


class VaeCnnDecoder(nn.Module):
    """The decoder: latents and condition, (B, z_dim + cond_dim) -> (B, 60, 60, 3) in [0, 1]."""

    def __init__(self, z_dim: int = 128, cond_dim: int = 0) -> None:
        super().__init__()
        self.z_dim, self.cond_dim = z_dim, cond_dim
        width = 64 * 4 * 4 * 4
        self.fc1 = nn.Sequential(
            nn.Linear(z_dim + cond_dim, width), nn.BatchNorm1d(width), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        for size, smaller, padding in ((64 * 4, 64 * 2, 1), (64 * 2, 64, 1), (64, 64, 2)):
            layer = nn.ConvTranspose2d(
                size, smaller, kernel_size=3, stride=2, padding=padding, output_padding=1
            )
            blocks += [layer, nn.BatchNorm2d(smaller), nn.ReLU()]
        last = nn.ConvTranspose2d(64, 3, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.blocks = nn.Sequential(*blocks, last, nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        return self.blocks(self.fc1(z).unflatten(1, (64 * 4, 4, 4))).permute(0, 2, 3, 1)


class VaeCnn(ConditionalVae):
    """A convolutional VAE of colour images, with a condition (B, cond_dim)."""

    def __init__(self, z_dim: int = 128, device: torch.device = CPU, cond_dim: int = 0) -> None:
        super().__init__()
        self.z_dim, self.device = z_dim, device
        self.encoder = VaeCnnEncoder(z_dim=z_dim, device=device, cond_dim=cond_dim)
        self.decoder = VaeCnnDecoder(z_dim, cond_dim).to(device)

    def encode(self, x: Tensor, x_cond: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return a sample z, mu and logvar of (B, 3, 60, 60) images: (B, z_dim) each."""
        return self.encoder(x, x_cond)
