import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import vae
from losses import kl_divergence
from studies.celeba.answers import (
    QUESTIONS,
    explain_blur,
    explain_curves,
    explain_difference,
    explain_dimension,
    explain_faces,
    explain_latents,
    explain_pixels,
)
from studies.celeba.networks import VAE
from studies.celeba.study import prior_gap, read_partition
from tests.mistakes import refusal

SMALL = "--preset quick --images 60 --held-out 20 --size 32 24 --num-hidden 4 --batch-size 30"


def run(line: str) -> int:
    return vae.main(line.split())


@given(height=st.integers(16, 60), width=st.integers(16, 60))
def test_the_output_has_the_input_s_size_whatever_it_is(height: int, width: int) -> None:
    model = VAE(3, 2, 8, 3, (height, width))
    x = torch.rand(2, 3, height, width)
    recon, mu, logvar = model(x)
    assert recon.shape == x.shape
    assert mu.shape == logvar.shape == (2, 3)
    assert recon.min() >= 0
    assert recon.max() <= 1


def test_the_published_sizes() -> None:
    model = VAE(latent=100)
    convolutions = [m for m in model.encode.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [
        *((3, 32), (32, 64), (64, 128), (128, 256))
    ]
    assert {(m.kernel_size, m.stride) for m in convolutions} == {((3, 3), (2, 2))}
    assert model.encode.fc_mu.in_features == 256 * 14 * 12
    transposed = [m for m in model.decode.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in transposed] == [
        *((256, 128), (128, 64), (64, 32), (32, 32))
    ]
    assert {(m.kernel_size, m.stride) for m in transposed} == {((4, 4), (2, 2))}
    assert (model.decode.image.kernel_size, model.decode.image.out_channels) == ((3, 3), 3)


def test_weights_are_drawn_as_asked() -> None:
    model = VAE(latent=3, size=(32, 32))
    before = model.encode.fc_mu.weight.clone()
    model.weight_init(0.5, 0.1)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            assert module.weight.mean().item() == pytest.approx(0.5, abs=0.02)
            assert module.weight.std().item() == pytest.approx(0.1, rel=0.1)
            assert module.bias is not None
            assert not module.bias.any()
    assert (model.encode.fc_mu.weight == before).all()


def test_a_draw_has_the_posterior_s_moments() -> None:
    model = VAE(3, 2, 8, 2, (16, 16))
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 1.0]])
    draws = model.reparametrize(mu.expand(40_000, 2), logvar.expand(40_000, 2))
    assert torch.allclose(draws.mean(dim=0), mu[0], atol=0.03)
    assert torch.allclose(draws.var(dim=0), logvar[0].exp(), rtol=0.03)
    assert (model.reparametrize(mu, logvar, torch.zeros(1, 2)) == mu).all()


@given(mu=st.floats(-3, 3), logvar=st.floats(-3, 2))
def test_the_derived_kl_is_that_of_draws(mu: float, logvar: float) -> None:
    """As in docs/kl.md, the KL is the mean of log q(z) - log p(z) over samples of z from q."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(100_000)
    z = mu + np.exp(logvar / 2) * noise
    log_q = -(np.log(2 * np.pi) + logvar + noise**2) / 2
    log_p = -(np.log(2 * np.pi) + z**2) / 2
    difference = log_q - log_p
    error = difference.std() / np.sqrt(len(z))
    exact = float(kl_divergence(torch.tensor([[mu]]), torch.tensor([[logvar]])))
    assert exact == pytest.approx(difference.mean(), abs=6 * error + 1e-6)


def test_the_partition_says_who_trains(tmp_path: Path) -> None:
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    lines = [f"{name} {part}" for name, part in zip(names, (0, 0, 1, 2, 0, 1), strict=True)]
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    for path in (tmp_path, images):
        found = read_partition(images, path, names)
        assert found is not None
        assert found.tolist() == [0, 0, 1, 2, 0, 1]
    assert read_partition(images, images / "elsewhere", names) is not None
    assert read_partition(tmp_path / "a" / "b", tmp_path / "a", names) is None
    assert read_partition(images, tmp_path, ["0", "1"]) is None, "a list of other images"


def a_summary() -> dict[str, Any]:
    """Return what the sentences need, for a run that went well."""
    kept = {"overall colour": 0.9, "4 x 4 blocks": 0.6, "16 x 16 blocks": 0.2, "detail": 0.0}
    model = {
        "ssim": 0.4,
        "psnr": 15.0,
        "mse": 0.03,
        "train_mse": 0.02,
        "prior_gap": 0.1,
        "kl": 12.0,
        "kept": kept,
        "active_units": 3,
        "sharpness_of_reconstructions": 0.2,
        "diversity_prior": 0.2,
        "diversity_fitted": 0.19,
        "nearest_prior": 0.1,
        "nearest_fitted": 0.1,
    }
    losses = {"loss": 100.0, "held_out_loss": 101.0, "kl": 12.0, "reconstruction": 96.0}
    return {
        "unit": "nats",
        "epochs": 5,
        "known": 2000,
        "late": {3: 0.01, 100: 0.2},
        "held_out": 20,
        "beta": 0.3,
        "first": {3: losses | {"loss": 200.0}, 100: losses},
        "last": {3: losses, 100: losses | {"loss": 80.0, "held_out_loss": 90.0}},
        "models": {
            3: model,
            100: model | {"active_units": 60, "ssim": 0.6, "diversity_fitted": 0.24, "kl": 90.0},
        },
        "interpolation": {"pixels": 0.12, "latent": 0.08, "outside": 0.2},
        "nearest_of_real_faces": 0.1,
        "diversity_of_real_faces": 0.25,
    }


def test_the_sentences_follow_the_numbers() -> None:
    summary = a_summary()
    assert "+50%" in explain_curves(summary, 100)
    assert "knows the training faces better" in explain_curves(summary, 100)
    assert "more epochs would bring more" in explain_curves(summary, 100)
    assert "it has levelled off" in explain_curves(summary, 3)
    summary["late"][3] = -0.2
    assert "rose, by 20% of its fall before" in explain_curves(summary, 3)
    assert "among the codes of faces" in explain_faces(summary, 3)
    summary["models"][100]["prior_gap"] = 38.0
    assert "`faces_100_fitted.png` is the picture to look at" in explain_faces(summary, 100)
    assert "With L = 100 that is not so" in explain_latents(summary)
    summary["models"][3] = summary["models"][3] | {"train_mse": 0.03}
    assert "does not learn the training faces by heart" in explain_curves(summary, 3)
    assert "The others have stayed at the prior" in explain_dimension(summary, 100)
    assert "use for nearly all of them" in explain_dimension(summary, 3)
    assert "So yes, they are blurred" in explain_blur(summary)
    assert "gives more diverse faces" in explain_difference(summary, 3, 100)
    assert "One size of z" in explain_difference(summary, 3, 3)
    assert "The decoded one is nearer to a real face" in explain_latents(summary)
    assert "farther than that of a real face" in explain_pixels(summary)
    summary["interpolation"] = {"pixels": 0.05, "latent": 0.08, "outside": 0.2}
    assert "the eye says otherwise" in explain_latents(summary)
    assert "near everything and looks like nothing" in explain_pixels(summary)
    summary["models"][3] = summary["models"][3] | {"sharpness_of_reconstructions": 1.1}
    assert "that is noise, not detail" in explain_blur(summary)
    assert "changes gradually" in explain_latents(summary)
    for latent in (3, 100):
        summary["models"][latent] = summary["models"][latent] | {"diversity_prior": 0.0}
    assert "hardly differ from one another" in explain_latents(summary)
    summary["unit"] = "squared error"
    assert "entropy of pixels" not in explain_curves(summary, 3)


def test_the_gap_to_the_prior_is_that_of_two_gaussians() -> None:
    generator = np.random.default_rng(0)
    mean, variance = generator.normal(size=4), generator.uniform(0.2, 5, 4)
    # For independent Gaussians, the divergences add up: Kingma and Welling (2014), appendix B.
    expected = ((1 + mean**2) / variance - 1 + np.log(variance)).sum() / 2
    found = prior_gap(torch.tensor(mean), torch.diag(torch.tensor(variance)))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 100 noise images in CelebA's layout; its list holds out 20 of them."""
    folder = tmp_path_factory.mktemp("celeba")
    (folder / "img_align_celeba").mkdir()
    generator, lines = np.random.default_rng(0), []
    for number in range(100):
        shade = generator.integers(0, 255, (4, 3, 3)).astype(np.uint8)
        name = f"{number:06}.jpg"
        Image.fromarray(shade).resize((24, 32)).save(folder / "img_align_celeba" / name)
        lines.append(f"{name} {int(number >= 80)}")
    (folder / "list_eval_partition.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_a_run_answers_everything_and_goes_on_where_it_ended(
    portraits: Path, tmp_path: Path
) -> None:
    line = f"{portraits} celeba {tmp_path}/a {SMALL} --latents 2"
    assert run(f"{line} --epochs 1") == 0
    assert run(f"{line} --epochs 2") == 0
    assert run(f"{line} --epochs 2".replace("/a ", "/b ")) == 0
    for path in (tmp_path / "b").iterdir():
        if path.suffix != ".state":
            assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes(), path.name
    text = (tmp_path / "b" / "answers.md").read_text()
    assert tuple(re.findall("^## (.*)$", text, re.MULTILINE)) == QUESTIONS
    found = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert (found["images"], found["held_out"]) == (60, 20)
    model = VAE(3, 4, 32, 2, (32, 24))
    model.load_state_dict(torch.load(tmp_path / "b" / "celeba_latent_2.pth"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent celeba out", "nothing there"),
        ("DATA celeba out --size 8 8", "--size 8 8"),
        ("DATA celeba out --latents 0", "Invalid value for '--latents'"),
        ("DATA celeba out --latents", "requires an argument"),
        ("DATA celeba out --images 3 --held-out 20", "3 images to train on, 20 held out"),
        ("DATA celeba out --devices 4000", "at most"),
        ("DATA celeba out --devices 0", "--devices 0"),
        ("DATA celeba out --images -5", "--images -5"),
        ("DATA celeba out --precision fp8", "--precision"),
        ("DATA celeba out --init-std -1", "--init-std"),
        ("DATA celeba out --size 218", "--size"),
    ],
)
def test_a_mistake_is_one_line(
    line: str,
    message: str,
    portraits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "" if "--size" in line else " --size 32 24"
    assert message in refusal(line.replace("DATA", str(portraits)) + small, capsys)
    assert not list(Path().glob("out/*.json"))


def test_a_list_that_does_not_fit_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (24, 32)).save(tmp_path / "a.png")
    Image.new("RGB", (24, 32)).save(tmp_path / "b.png")
    for text, message in (("a.png x", "invalid literal"), ("b.png 0", "nothing of a.png")):
        (tmp_path / "list_eval_partition.txt").write_text(text)
        assert run(f"{tmp_path} celeba {tmp_path}/out") == 2
        assert message in capsys.readouterr().err
