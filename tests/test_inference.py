import numpy as np
import torch

from inference import ROWS, decode, encode, reconstruct
from models import VAE


def model() -> VAE:
    torch.manual_seed(0)
    return VAE().eval()


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, 28, 28), np.float32)


def test_an_image_comes_out_the_same_whatever_comes_with_it() -> None:
    vae, x = model(), images(2 * ROWS + 7)
    together = encode(vae, x)
    for n in (1, 2, 7, ROWS - 1, ROWS, ROWS + 1):
        np.testing.assert_array_equal(encode(vae, x[:n]), together[:n])
    np.testing.assert_array_equal(reconstruct(vae, x[3:4]), reconstruct(vae, x)[3:4])


def test_reconstruction_is_the_decoded_mean_in_the_layout_of_the_input() -> None:
    vae, x = model(), images(5)
    expected = vae.decode(vae.encode(torch.from_numpy(x.reshape(5, 784)))[0]).detach().numpy()
    for shape in ((5, 28, 28), (5, 1, 28, 28), (5, 784)):
        recon = reconstruct(vae, x.reshape(shape))
        assert recon.shape == shape
        assert recon.dtype == np.float32
        np.testing.assert_allclose(recon.reshape(5, 784), expected, atol=1e-6)


def test_decodes_float64_latents() -> None:
    assert decode(model(), np.zeros((3, 2))).shape == (3, 784)
