"""The network of the graded modes, and the block that it shares with others."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """x + f(x), where f is a layer norm and one hidden layer: (B, width) -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.contract(functional.silu(self.expand(self.norm(x))))


class VAE(nn.Module):
    """A variational autoencoder of residual MLPs with a Gaussian latent (arXiv 1312.6114).

    Images are (B, 784) in [0, 1], latents (B, 2).
    """

    def __init__(
        self, pixels: int = 784, latent: int = 2, width: int = 384, blocks: int = 2
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(pixels, width),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, width),
            nn.SiLU(),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, pixels),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior of (B, 784) images: (B, 2) each."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """A draw of z from N(mu, exp(logvar)) through which gradients reach both: (B, 2)."""
        epsilon = torch.empty_like(mu).normal_(generator=generator)
        return mu + epsilon * (0.5 * logvar).exp()

    def decode(self, z: Tensor) -> Tensor:
        """Images of (B, 2) latents: (B, 784) in [0, 1]."""
        image: Tensor = self.decoder(z)
        return image

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction of a drawn latent, (B, 784), and the posterior's mu and logvar."""
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar, generator)), mu, logvar
