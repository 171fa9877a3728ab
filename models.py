"""The networks of the graded modes, and the blocks that they share with others."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

PIXELS = 784
REACH = 3.0  # the latent plane is [-3, 3] x [-3, 3]: all but 0.5 % of a standard normal


def plane(side: int, device: torch.device | None = None) -> Tensor:
    """The points of a square grid over the latent plane, row by row: (side * side, 2)."""
    axis = torch.linspace(-REACH, REACH, side, device=device)
    return torch.cartesian_prod(axis, axis)


class ResidualBlock(nn.Module):
    """x + f(x), where f is a layer norm and one hidden layer: (B, width) -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width)
        self.contract = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.contract(functional.silu(self.expand(self.norm(x))))


def residual_mlp(inputs: int, outputs: int, width: int, blocks: int = 2) -> nn.Sequential:
    """(B, inputs) -> (B, outputs) through residual blocks of one width."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        *(ResidualBlock(width) for _ in range(blocks)),
        nn.LayerNorm(width),
        nn.Linear(width, outputs),
    )


class FeatureGrids(nn.Module):
    """A point of the plane, and what grids of ever finer mesh hold there: (B, 2) -> (B, outputs).

    A learned vector lies at each point of each grid; between them they are interpolated bilinearly.
    It gives a small network fine detail over a small space. Müller et al., "Instant Neural Graphics
    Primitives" (arXiv 2201.05989), section 3, without the hashing, which two dimensions can spare.
    """

    def __init__(self, sides: tuple[int, ...] = (16, 32, 64, 128), features: int = 16) -> None:
        super().__init__()
        self.sides = sides
        self.outputs = 2 + len(sides) * features
        self.tables = nn.ParameterList(0.1 * torch.randn(side * side, features) for side in sides)

    def forward(self, z: Tensor) -> Tensor:
        unit = ((z + REACH) / (2 * REACH)).clamp(0, 1)
        parts = [z]
        for side, table in zip(self.sides, self.tables, strict=True):
            place = unit * (side - 1)
            corner = place.floor().clamp(max=side - 2)
            right, down = (place - corner).unbind(dim=1)
            first = (corner @ place.new_tensor([side, 1])).long()
            rows = first[:, None] + torch.tensor([0, 1, side, side + 1], device=z.device)
            left, up = 1 - right, 1 - down
            weights = torch.stack([left * up, left * down, right * up, right * down], dim=1)
            sums = functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
            parts.append(sums)
        return torch.cat(parts, dim=1)


class VAE(nn.Module):
    """A variational autoencoder with a 2-D latent whose posterior is spelt out over the plane.

    The encoder gives the posterior probability of each point of a square grid, as the generative
    topographic mapping does (Bishop, Svensén and Williams, Neural Computation 10, 1998), so that an
    image that could lie at two places need not lie between them.

    Images are (B, 784) in [0, 1], latents (B, 2).
    """

    def __init__(self, side: int = 64, width: int = 512) -> None:
        super().__init__()
        self.side = side
        grids = FeatureGrids()
        self.encoder = residual_mlp(PIXELS, side * side, width=384)
        blocks = residual_mlp(grids.outputs, PIXELS, width)
        self.decoder = nn.Sequential(grids, blocks, nn.Sigmoid())

    def cells(self) -> Tensor:
        """The points that the posterior is over: (side * side, 2)."""
        return plane(self.side, next(self.parameters()).device)

    def posterior(self, x: Tensor) -> Tensor:
        """Log-probability of each of the cells for (B, 784) images: (B, side * side)."""
        return functional.log_softmax(self.encoder(x), dim=1)

    def encode(self, x: Tensor) -> Tensor:
        """The most probable cell of (B, 784) images: (B, 2)."""
        return self.cells()[self.encoder(x).argmax(dim=1)]

    def decode(self, z: Tensor) -> Tensor:
        """Images of (B, 2) latents: (B, 784) in [0, 1]."""
        return self.decoder(z)


class GaussianVAE(nn.Module):
    """A variational autoencoder with a Gaussian posterior (Kingma and Welling, arXiv 1312.6114).

    Images are (B, pixels) in [0, 1], latents (B, 2).
    """

    def __init__(self, pixels: int, width: int) -> None:
        super().__init__()
        self.encoder = residual_mlp(pixels, 4, width)
        self.decoder = nn.Sequential(residual_mlp(2, pixels, width), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior of (B, pixels) images: (B, 2) each."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def reparameterize(
        self, mu: Tensor, logvar: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """A draw of z from N(mu, exp(logvar)) through which gradients reach both: (B, 2)."""
        epsilon = torch.empty_like(mu).normal_(generator=generator)
        return mu + epsilon * (0.5 * logvar).exp()

    def decode(self, z: Tensor) -> Tensor:
        """Images of (B, 2) latents: (B, pixels) in [0, 1]."""
        return self.decoder(z)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction of a drawn latent, (B, pixels), and the posterior's mu and logvar."""
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar, generator)), mu, logvar
