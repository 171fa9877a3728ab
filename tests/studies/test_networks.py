import numpy as np
import pytest
import torch
from torch import nn

from studies.pokemon.networks import VaeCnn, VaeCnnDecoder, VaeCnnEncoder
from studies.shared.networks import (
    Vae,
    VaeEncoder,
    beta_loss_function,
    labels_to_one_hots,
    loss_function,
    reparameterize,
)


@pytest.mark.parametrize("loss_type", ["bce", "mse", "l1"])
@pytest.mark.parametrize("beta", [0.05, 1, 5])
def test_the_loss_is_that_of_the_definition(loss_type: str, beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    recon, x = (0.05 + 0.9 * torch.rand(6, 30, generator=generator) for _ in range(2))
    mu, logvar = torch.randn(2, 6, 4, generator=generator)
    mu.requires_grad_()
    parts = beta_loss_function(recon, x, mu, logvar, loss_type=loss_type, beta=beta)
    assert [type(part) for part in parts] == [np.ndarray, np.ndarray, torch.Tensor]
    r, t, m, v = (a.detach().double().numpy() for a in (recon, x, mu, logvar))
    errors = {
        "bce": -(t * np.log(r) + (1 - t) * np.log(1 - r)),
        "mse": (r - t) ** 2,
        "l1": np.abs(r - t),
    }
    error = errors[loss_type].sum() / 6
    kl = 0.5 * (m**2 + np.exp(v) - 1 - v).sum() / 6
    np.testing.assert_allclose(parts[0], error, rtol=1e-5)
    np.testing.assert_allclose(parts[1], kl, rtol=1e-5)
    np.testing.assert_allclose(parts[2].item(), error + beta * kl, rtol=1e-5)
    parts[2].backward()
    assert mu.grad is not None


def test_another_loss_type_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="hinge"):
        x = torch.zeros(1, 1)
        beta_loss_function(x, x, x, x, "hinge")


def test_the_loss_of_a_training_loop_is_the_third() -> None:
    recon, x = torch.rand(2, 4, 6, 6, 3)
    mu, logvar = torch.randn(2, 4, 5)
    for beta in (1, 0.3):
        parts = beta_loss_function(recon, x, mu, logvar, beta=beta)
        assert loss_function(recon, x, mu, logvar, loss_type="bce", beta=beta) == parts[2]
    published = nn.functional.binary_cross_entropy(recon, x, reduction="sum")
    published = (published - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())) / 4
    torch.testing.assert_close(loss_function(recon, x, mu, logvar), published)


def test_the_bottleneck_samples_on_the_device_of_its_features() -> None:
    encoder = VaeEncoder(x_dim=6, hidden_size=5, z_dim=3, device=torch.device("cpu"))
    assert (encoder.x_dim, encoder.hidden_size, encoder.z_dim) == (6, 5, 3)
    h = encoder.features(torch.rand(4, 6))
    torch.manual_seed(1)
    z, mu, logvar = encoder.bottleneck(h)
    torch.manual_seed(1)
    torch.testing.assert_close(z, reparameterize(mu, logvar, device=torch.device("cpu")))
    torch.testing.assert_close(z, mu + (z - mu))
    assert reparameterize(mu, logvar, device=torch.device("meta")).device.type == "meta"
    assert encoder.to("meta").bottleneck(h.to("meta"))[0].device.type == "meta"


def test_labels_become_unit_vectors() -> None:
    found = labels_to_one_hots(torch.tensor([[2], [0]]), num_classes=3)
    assert found.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert labels_to_one_hots(torch.arange(10)).shape == (10, 10)


@pytest.mark.parametrize("cond_dim", [None, 3])
def test_a_vae_with_and_without_a_condition(cond_dim: int | None) -> None:
    vae = Vae(x_dim=20, z_dim=4, hidden_size=8, device=torch.device("cpu"), cond_dim=cond_dim)
    x = torch.rand(5, 20)
    cond = None if cond_dim is None else torch.eye(3)[[0, 1, 2, 0, 1]]
    recon, mu, logvar, z = vae(x, cond)
    assert recon.shape == x.shape
    assert ((recon >= 0) & (recon <= 1)).all()
    assert mu.shape == logvar.shape == z.shape == (5, 4)
    one = None if cond is None else cond[:1]
    assert vae.sample(7, one).shape == (7, 20)
    assert vae.sample(x_cond=one).shape == (1, 20)
    if cond is not None:
        torch.manual_seed(0)
        first = vae.sample(3, cond[:1])
        torch.manual_seed(0)
        assert not torch.equal(first, vae.sample(3, cond[1:2])), "the condition must matter"


def layers(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if not [*m.children()]]


def test_the_convolutional_encoder_is_built_as_the_assignment_says() -> None:
    encoder = VaeCnnEncoder((3, 60, 60), z_dim=16, cond_dim=18)
    kinds = [type(m).__name__ for m in layers(encoder)]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 3 + ["Linear"] * 2
    convolutions = [m for m in layers(encoder) if isinstance(m, nn.Conv2d)]
    sizes = [(c.in_channels, c.out_channels) for c in convolutions]
    assert sizes == [(3, 128), (128, 256), (256, 512)]
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {
        ((3, 3), (2, 2), (1, 1))
    }
    assert encoder._get_conv_out((3, 60, 60)) == 512 * 8 * 8
    assert (
        encoder._get_conv_out((3, 33, 20)) == encoder.features(torch.rand(2, 3, 33, 20))[0].numel()
    )
    for head in (encoder.fc1, encoder.fc2):
        assert (head.in_features, head.out_features) == (512 * 8 * 8 + 18, 16)


@pytest.mark.parametrize("training", [True, False])
def test_counting_features_changes_nothing(training: bool) -> None:
    encoder = VaeCnnEncoder().train(training)
    encoder.features[1].train(not training)
    modes = [m.training for m in encoder.modules()]
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    state = torch.get_rng_state()
    encoder._get_conv_out((3, 60, 60))
    assert [m.training for m in encoder.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for name, x in encoder.state_dict().items():
        assert torch.equal(x, before[name]), name
    assert all(m.training for m in VaeCnnEncoder().modules()), "a new network trains"


def test_the_convolutional_decoder_is_built_as_the_assignment_says() -> None:
    decoder = VaeCnnDecoder(z_dim=16, cond_dim=18)
    shapes: list[tuple[int, ...]] = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
        for m in layers(decoder)
        if isinstance(m, nn.ConvTranspose2d | nn.Linear)
    ]
    image = decoder(torch.randn(2, 34))
    for hook in hooks:
        hook.remove()
    assert shapes == [(2, 4096), (2, 128, 8, 8), (2, 64, 16, 16), (2, 64, 30, 30), (2, 3, 60, 60)]
    assert image.shape == (2, 60, 60, 3)
    assert ((image >= 0) & (image <= 1)).all()
    kinds = [type(m).__name__ for m in layers(decoder)]
    blocks = ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", *blocks, "ConvTranspose2d", "Sigmoid"]


def test_the_convolutional_vae_has_as_many_weights_as_its_layers_ask_for() -> None:
    z, cond = 16, 18
    encoder = [9 * 3 * 128 + 128, 9 * 128 * 256 + 256, 9 * 256 * 512 + 512, 2 * (128 + 256 + 512)]
    heads = 2 * ((512 * 64 + cond) * z + z)
    head = (z + cond) * 4096 + 4096 + 2 * 4096
    decoder = [9 * 256 * 128 + 128, 9 * 128 * 64 + 64, 9 * 64 * 64 + 64, 9 * 64 * 3 + 3]
    norms = 2 * (128 + 64 + 64)
    vae = VaeCnn(z, cond_dim=cond)
    count = sum(p.numel() for p in vae.parameters())
    assert count == sum(encoder) + heads + head + sum(decoder) + norms
    recon, mu, logvar, latent = vae(torch.rand(3, 3, 60, 60), torch.eye(cond)[:3])
    assert recon.shape == (3, 60, 60, 3)
    assert mu.shape == logvar.shape == latent.shape == (3, z)
    assert vae.eval().sample(2, torch.eye(cond)[:1]).shape == (2, 60, 60, 3)
