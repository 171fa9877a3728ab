"""The networks of the autoencoder assignment.

Its restrictions apply to the autoencoder and the classifier, but not to the VAE. Images are
(B, 1, 32, 32): the encoder halves the width five times, so 28 x 28 is padded by two pixels.
"""

import torch
from torch import Tensor, nn

SIDE = 32
FILTERS = 16
LATENT_START = 2.0
CODE = (1, 2, 1)  # shape of an encoded image: channels, height, width


def convolution(before: int, after: int, pool: tuple[int, int]) -> nn.Sequential:
    """Return a 3 x 3 'same' convolution, ReLU and max pooling; a 2 in `pool` halves that side."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, padding="same"), nn.ReLU(), nn.MaxPool2d(pool)
    )


def transposed(before: int, after: int, scale: tuple[int, int]) -> nn.Sequential:
    """Return a 3 x 3 transposed convolution of equal size, ReLU and upsampling by `scale`."""
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=tuple(map(float, scale)), mode="bilinear"),
    )


def features(filters: int = FILTERS) -> nn.Sequential:
    """Return all layers of the encoder but the last: (B, 1, 32, 32) -> (B, filters, 2, 2)."""
    return nn.Sequential(
        convolution(1, filters, (2, 2)), *(convolution(filters, filters, (2, 2)) for _ in range(3))
    )


def encoder() -> nn.Sequential:
    """Return the encoder: (B, 1, 32, 32) -> (B, 1, 2, 1), two numbers >= 0 for each image."""
    return nn.Sequential(*features(), convolution(FILTERS, 1, (1, 2)))


def decoder() -> nn.Sequential:
    """Return the decoder: (B, 1, 2, 1) -> (B, 1, 32, 32), values >= 0."""
    return nn.Sequential(
        transposed(1, FILTERS, (1, 2)),
        *(transposed(FILTERS, FILTERS, (2, 2)) for _ in range(3)),
        transposed(FILTERS, 1, (2, 2)),
    )


class Autoencoder(nn.Module):
    """An encoder and a decoder, from images to images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder(), decoder()

    def encode(self, x: Tensor) -> Tensor:
        """Return the two latents of each image: (B, 2)."""
        return self.encoder(x).flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Decode (B, 2) latents to images."""
        return self.decoder(z.unflatten(1, CODE))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Give each layer's ReLU inputs of mean 0 and standard deviation 1 over a batch of images.

        The ReLU of the latents gets inputs of mean `LATENT_START`, because a ReLU that is 0 for all
        images cannot learn. That of the last layer gets the mean and deviation of the images.
        Mishkin and Matas, "All you need is a good init" (ICLR 2016), extended to means.
        """
        layers = [*self.encoder, *self.decoder]
        moments = [(0.0, 1.0)] * len(layers)
        moments[len(self.encoder) - 1] = LATENT_START, 1.0
        moments[-1] = float(x.mean()), float(x.std())
        hidden = x
        for layer, (mean, deviation) in zip(layers, moments, strict=True):
            weights = layer[0]
            nn.init.orthogonal_(weights.weight)
            nn.init.zeros_(weights.bias)
            response = weights(hidden)
            scale = deviation / response.std(dim=(0, 2, 3)).clamp(min=1e-6)
            filters = (1, -1, 1, 1) if isinstance(weights, nn.ConvTranspose2d) else (-1, 1, 1, 1)
            weights.weight *= scale.reshape(filters)
            weights.bias += mean - scale * response.mean(dim=(0, 2, 3))
            hidden = layer(hidden)


def classifier(classes: int, filters: int = FILTERS) -> nn.Sequential:
    """Return the encoder with a dense last layer: (B, 1, 32, 32) -> (B, classes) logits."""
    return nn.Sequential(features(filters), nn.Flatten(), nn.Linear(4 * filters, classes))


def sample(x_mean: Tensor, x_std: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return x_out, (B, 2): new points near the means, as the assignment defines them.

    `x_std`: the logarithm of the standard deviation, under the assignment's name for it. `noise`:
    from N(0, I); new noise if it is not given.
    """
    noise = torch.randn_like(x_std) if noise is None else noise
    return x_mean + noise * x_std.exp()


class ConvolutionalVae(nn.Module):
    """A VAE with two latents; all its layers are convolutions except those next to z."""

    def __init__(self, filters: int = 2 * FILTERS, width: int = 256) -> None:
        super().__init__()
        wide, place = 2 * filters, (2 * filters, SIDE // 4, SIDE // 4)
        units = wide * (SIDE // 4) ** 2
        self.encoder = nn.Sequential(
            nn.Conv2d(1, filters, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(filters, wide, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(units, width),
            nn.ReLU(),
        )
        self.mean, self.log_variance = nn.Linear(width, 2), nn.Linear(width, 2)
        self.decoder = nn.Sequential(
            nn.Linear(2, width),
            nn.ReLU(),
            nn.Linear(width, units),
            nn.ReLU(),
            nn.Unflatten(1, place),
            nn.ConvTranspose2d(wide, filters, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(filters, 1, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, (B, 2) each."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def encode(self, x: Tensor) -> Tensor:
        """Return the means of each image: (B, 2)."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Decode (B, 2) latents to images."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_recon, decoded from a sample z, and mu and logvar."""
        mu, logvar = self.posterior(x)
        return self.decode(sample(mu, 0.5 * logvar)), mu, logvar
