"""The autoencoders of the facial-expression assignment: as printed, unpooling, and fully connected.

They take and return (B, 3, 128, 128) images in [0, 1]. The printed networks take larger images too,
but always return 128 x 128 pixels.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from studies.shared.batch_norm import BatchNorm2d
from studies.shared.networks import reparameterize

SIDE = 128
CHANNELS = (3, 32, 64, 128, 256, 512, 1024, 1024)
FEATURES = CHANNELS[-1]
WIDTHS = (1000, 500, 250)  # from Hinton and Salakhutdinov's autoencoder for digits
Variant = Literal["printed", "unpooling", "mlp"]
Shape = tuple[int, ...]  # (depth, height, width) or (nodes,)


def block(layer: nn.Module, channels: int, activation: nn.Module) -> nn.Sequential:
    """Return the layer, followed by batch normalisation and the activation."""
    return nn.Sequential(layer, BatchNorm2d(channels), activation)


def convolutions() -> nn.Sequential:
    """Return seven 2 x 2 convolutions with stride 2: (B, 3, 128, 128) -> (B, 1024)."""
    blocks = [
        block(nn.Conv2d(before, after, kernel_size=2, stride=2), after, nn.ReLU())
        for before, after in pairwise(CHANNELS)
    ]
    return nn.Sequential(*blocks, nn.Flatten())


def transposed_convolutions() -> nn.Sequential:
    """Return the mirror image of `convolutions`: (B, 1024) -> (B, 3, 128, 128) in [0, 1]."""
    blocks = [
        block(
            nn.ConvTranspose2d(before, after, kernel_size=2, stride=2),
            after,
            nn.Sigmoid() if after == CHANNELS[0] else nn.ReLU(),
        )
        for before, after in pairwise(reversed(CHANNELS))
    ]
    return nn.Sequential(nn.Unflatten(1, (FEATURES, 1, 1)), *blocks)


class Autoencoder(nn.Module):
    """The printed network, which reconstructs (B, 3, 128, 128) images from `latent` numbers."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(convolutions(), nn.Linear(FEATURES, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, FEATURES), transposed_convolutions())

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents, (B, latent)."""
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)).float()


class UnpoolingAutoencoder(nn.Module):
    """3 x 3 convolutions and max pooling; the decoder puts values back where the maxima were.

    The decoder gets the positions of the maxima in addition to the latents. Zeiler and Fergus,
    "Visualizing and Understanding Convolutional Networks" (ECCV 2014).
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            block(nn.Conv2d(before, after, kernel_size=3, padding=1), after, nn.ReLU())
            for before, after in pairwise(CHANNELS)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.code, self.uncode = nn.Linear(FEATURES, latent), nn.Linear(latent, FEATURES)
        self.unpool = nn.MaxUnpool2d(2)
        self.up = nn.ModuleList(
            block(
                nn.ConvTranspose2d(before, after, kernel_size=3, padding=1),
                after,
                nn.Sigmoid() if after == CHANNELS[0] else nn.ReLU(),
            )
            for before, after in pairwise(reversed(CHANNELS))
        )

    def features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the features, (B, 1024), and the positions of the maxima of each pooling."""
        places = []
        for layer in self.down:
            x, where = self.pool(layer(x))
            places.append(where)
        return x.flatten(1), places

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents, (B, latent)."""
        return self.code(self.features(x)[0])

    def forward(self, x: Tensor) -> Tensor:
        hidden, places = self.features(x)
        hidden = self.uncode(self.code(hidden))[:, :, None, None]
        for layer, where in zip(self.up, reversed(places), strict=True):
            hidden = layer(self.unpool(hidden, where))
        return hidden.float()


class MlpAutoencoder(nn.Module):
    """A fully connected network that narrows to the latents and widens again.

    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (Science
    313, 2006), with ReLU instead of layer-by-layer pretraining.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        sizes = [3 * SIDE * SIDE, *WIDTHS]
        down: list[nn.Module] = [
            part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())
        ]
        up: list[nn.Module] = [
            part for pair in pairwise(sizes[:0:-1]) for part in (nn.Linear(*pair), nn.ReLU())
        ]
        self.encoder = nn.Sequential(nn.Flatten(), *down, nn.Linear(sizes[-1], latent))
        ends = nn.Linear(sizes[1], sizes[0]), nn.Sigmoid(), nn.Unflatten(1, (3, SIDE, SIDE))
        self.decoder = nn.Sequential(nn.Linear(latent, sizes[-1]), nn.ReLU(), *up, *ends)

    def encode(self, x: Tensor) -> Tensor:
        """Return the latents, (B, latent)."""
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x)).float()


class VariationalAutoencoder(nn.Module):
    """The printed VAE: fc1 gives the mean, fc2 the log-variance, fc3 the decoder's input."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.encoder, self.decoder = convolutions(), transposed_convolutions()
        self.fc1 = nn.Linear(FEATURES, latent)
        self.fc2 = nn.Linear(FEATURES, latent)
        self.fc3 = nn.Linear(latent, FEATURES)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, (B, latent) each."""
        hidden = self.encoder(x)
        return self.fc1(hidden).float(), self.fc2(hidden).float()

    def encode(self, x: Tensor) -> Tensor:
        """Return the means, (B, latent)."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Decode (B, latent) latents to images."""
        return self.decoder(self.fc3(z)).float()

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_rec, decoded from a sample z, and mu and logvar.

        z is sampled with `noise` from N(0, I) if it is given, and with new noise otherwise.
        """
        mu, logvar = self.posterior(x)
        return self.decode(reparameterize(mu, logvar, noise=noise)), mu, logvar


Network = Autoencoder | UnpoolingAutoencoder | MlpAutoencoder | VariationalAutoencoder
NETWORKS: dict[Variant, Callable[[int], Network]] = {
    "printed": Autoencoder,
    "unpooling": UnpoolingAutoencoder,
    "mlp": MlpAutoencoder,
}


def reconstruct(network: Network, x: Tensor) -> Tensor:
    """Reconstruct images from their latents, or, for a VAE, from their posterior means."""
    if isinstance(network, VariationalAutoencoder):
        return network.decode(network.encode(x))
    return network(x)


@torch.no_grad()
def feature_maps(side: int, latent: int) -> tuple[list[Shape], list[Shape]]:
    """Return the shapes in the printed network, layer by layer.

    The first list has those of the encoder for images of side x side, from the input to the
    latents. The second has those of the decoder, from the latents to the output.
    """
    down: list[Shape] = [(3, side, side)]
    up: list[Shape] = [(latent,)]
    with torch.device("meta"):  # computes shapes only, no values
        for shapes, layers in (
            (down, [*convolutions(), nn.Linear(FEATURES, latent)]),
            (up, [nn.Linear(latent, FEATURES), *transposed_convolutions()]),
        ):
            hidden = torch.empty(1, *shapes[0])
            for layer in layers:
                hidden = layer.eval()(hidden)
                shapes.append(tuple(hidden.shape[1:]))
    return down, up
