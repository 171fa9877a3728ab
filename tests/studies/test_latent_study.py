import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

import vae
from studies.latent_study.answers import (
    QUESTIONS,
    answers,
    explain_capacity,
    explain_errors,
    explain_improvement,
    explain_overlaps,
)
from studies.latent_study.networks import (
    Autoencoder,
    ConvolutionalVae,
    classifier,
    decoder,
    encoder,
)
from studies.latent_study.study import (
    DeadUnitError,
    Images,
    by_quantiles,
    by_range,
    check_alive,
    holm,
    judge_neighbours,
    neighbours,
    overlaps,
    rated,
)
from tests.mistakes import refusal


def run(line: str) -> int:
    return vae.main(line.split())


def test_the_encoder_keeps_every_restriction() -> None:
    blocks = [*encoder()]
    hidden = torch.rand(5, 1, 32, 32)
    for number, block in enumerate(blocks, start=1):
        convolution, activation, pooling = block
        last = number == len(blocks)
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.kernel_size == (3, 3)
        assert convolution.out_channels == (1 if last else 16)
        assert isinstance(activation, nn.ReLU)
        assert isinstance(pooling, nn.MaxPool2d)
        before = hidden
        hidden = convolution(hidden)
        assert hidden.shape[2:] == before.shape[2:], "padding is 'same'"
        hidden = pooling(activation(hidden))
        halvings = [a // b for a, b in zip(before.shape[2:], hidden.shape[2:], strict=True)]
        assert halvings == ([1, 2] if last else [2, 2])
    assert hidden.shape == (5, 1, 2, 1)


def test_the_decoder_keeps_every_restriction() -> None:
    blocks = [*decoder()]
    hidden = torch.rand(5, 1, 2, 1)
    for number, block in enumerate(blocks, start=1):
        convolution, activation, upsampling = block
        assert isinstance(convolution, nn.ConvTranspose2d)
        assert convolution.kernel_size == (3, 3)
        assert convolution.out_channels == (1 if number == len(blocks) else 16)
        assert isinstance(activation, nn.ReLU)
        assert isinstance(upsampling, nn.Upsample)
        before = hidden
        hidden = convolution(hidden)
        assert hidden.shape[2:] == before.shape[2:]
        hidden = upsampling(activation(hidden))
        doublings = [b // a for a, b in zip(before.shape[2:], hidden.shape[2:], strict=True)]
        assert doublings == ([1, 2] if number == 1 else [2, 2])
    assert hidden.shape == (5, 1, 32, 32)


def test_the_two_halves_hold_nothing_else() -> None:
    allowed = (nn.Conv2d, nn.ConvTranspose2d, nn.ReLU, nn.MaxPool2d, nn.Upsample, nn.Sequential)
    for half in (encoder(), decoder()):
        assert all(isinstance(module, allowed) for module in half.modules())


def test_the_classifier_is_the_encoder_with_a_dense_end() -> None:
    layers, model = [*encoder()], classifier(10)
    kept = model[0]
    assert isinstance(kept, nn.Sequential)
    assert [str(layer) for layer in kept] == [str(layer) for layer in layers[:-1]]
    assert isinstance(model[-1], nn.Linear)
    assert model(torch.rand(3, 1, 32, 32)).shape == (3, 10)


def test_the_vae_is_convolutional_but_next_to_its_latents() -> None:
    model = ConvolutionalVae()
    dense = [m for m in (*model.encoder, *model.decoder) if isinstance(m, nn.Linear)]
    assert len(dense) == 3
    recon, mu, logvar = model(torch.rand(4, 1, 32, 32))
    assert recon.shape == (4, 1, 32, 32)
    assert mu.shape == logvar.shape == (4, 2)


def test_initialised_units_have_inputs_on_both_sides_of_zero() -> None:
    torch.manual_seed(0)
    model, x = Autoencoder(), torch.rand(64, 1, 32, 32) ** 4
    model.initialise(x)
    hidden = x
    for number, block in enumerate([*model.encoder, *model.decoder]):
        inputs = block[0](hidden)
        mean = {4: 2.0, 9: float(x.mean())}.get(number, 0.0)
        deviation = float(x.std()) if number == 9 else 1.0
        assert torch.allclose(inputs.mean(dim=(0, 2, 3)), torch.tensor(mean), atol=1e-3)
        assert torch.allclose(inputs.std(dim=(0, 2, 3)), torch.tensor(deviation), atol=1e-3)
        hidden = block(hidden)


ALIVE = np.random.default_rng(0).uniform(0, 3, (100, 2))
SHOWN = np.zeros(100, bool)


@pytest.mark.parametrize(
    ("z", "black"),
    [
        (ALIVE * [1, 0], SHOWN),
        (np.where(np.arange(100)[:, None] < 95, 0, ALIVE), SHOWN),
        (ALIVE * [0, 1] + [5, 0], SHOWN),
        (np.zeros((100, 2)), SHOWN),
        (ALIVE, ~SHOWN),
    ],
)
def test_dead_units_are_noticed(z: np.ndarray, black: np.ndarray) -> None:
    with pytest.raises(DeadUnitError, match="is dead"):
        check_alive(z, black)
    check_alive(ALIVE, SHOWN)


def test_an_interval_is_wilsons() -> None:
    found = rated(np.arange(40) < 31)
    p, n, z = 31 / 40, 40, 1.959963984540054
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert found["interval"] == pytest.approx([middle - half, middle + half])
    assert rated(np.zeros(0, bool))["number"] == 0


def test_holms_correction_stops_at_the_first_failure() -> None:
    assert holm([0.04, 0.001, 0.03]) == [False, True, False]
    assert holm([0.01, 0.02, 0.04]) == [True, True, True]
    assert holm([0.02, 0.9, 0.9]) == [False, False, False]


def images_of(labels: np.ndarray) -> Images:
    names = tuple("abc")
    pixels = torch.zeros(len(labels), 1, 32, 32, dtype=torch.uint8)
    return Images(pixels, torch.from_numpy(labels), names)


def test_neighbours_are_those_of_brute_force() -> None:
    generator = np.random.default_rng(0)
    labels, truth = generator.integers(0, 3, 300), generator.integers(0, 3, 120)
    z = (generator.normal(0, 1, (300, 2)) + 2 * labels[:, None]).astype(np.float32)
    z_test = (generator.normal(0, 1, (120, 2)) + 2 * truth[:, None]).astype(np.float32)
    distances = np.square(z_test[:, None] - z).sum(axis=2)
    predicted = labels[distances.argmin(axis=1)]
    codes = torch.from_numpy(z), torch.from_numpy(z_test)
    nearest = neighbours(codes, images_of(labels))
    assert (nearest == predicted).all()
    found = judge_neighbours(nearest[:100], images_of(labels), images_of(truth))
    assert found["right"] == (predicted[:100] == truth[:100]).sum()
    assert found["number"] == 100
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (truth[:100], predicted[:100]), 1)
    assert found["confusion"] == confusion.tolist()
    for label, name in enumerate("abc"):
        assert found["classes"][name]["number"] == (truth[:100] == label).sum()
    shares = np.bincount(labels) / 300
    assert found["random"] == pytest.approx((shares * np.bincount(truth[:100])).sum() / 100)
    pair = (confusion[0, 1] + confusion[1, 0]) / confusion[:2].sum()
    assert found["overlaps"]["b and a"] == pytest.approx(pair)
    assert binomtest(found["right"], 100, found["random"]).pvalue < 0.01


def test_overlaps_are_ordered() -> None:
    found = overlaps(np.array([[8, 2, 0], [4, 6, 0], [0, 1, 9]]), ("x", "y", "z"))
    assert list(found) == ["y and x", "z and y", "z and x"]
    assert found["y and x"] == pytest.approx(6 / 20)


def test_grids_cover_the_range_and_the_prior() -> None:
    z = torch.tensor([[0.0, 5.0], [3.0, -1.0], [1.0, 2.0]])
    x, y = by_range(z)
    assert (x[0], x[-1], y[0], y[-1]) == (0, 3, -1, 5)
    assert np.ptp(np.diff(x)) < 1e-6
    quantiles = by_quantiles()
    assert quantiles[7] == pytest.approx(0)
    draws = np.random.default_rng(0).normal(size=200_000)
    edges = (quantiles[1:] + quantiles[:-1]) / 2
    assert len(quantiles) == 15
    assert np.diff(np.quantile(draws, [0.5 / 15, 1.5 / 15]))[0] == pytest.approx(
        quantiles[1] - quantiles[0], abs=0.02
    )
    assert (np.diff(edges) > 0).all()


def a_summary(change: str = "distorted", gained: float = 0.01) -> dict[str, Any]:
    """Return what the sentences on errors, overlaps and the improvement need."""
    before = {"test_accuracy": 0.98, "test_loss": 0.05, "train_loss": 0.03}
    return {
        "held_out": 100,
        "images": 900,
        "epochs": 3,
        "pca_mse": 0.05,
        "attempts": 1,
        "models": {"autoencoder": {"test_mse": 0.04, "train_mse": 0.039}},
        "losses": {"autoencoder": {"first": {"loss": 0.06}, "last": {"loss": 0.03}}},
        "classifier": {"last": before},
        "improvement": {"change": change, "last": before | {"test_accuracy": 0.98 + gained}},
        "all": {
            "classes": {"1": {"accuracy": 0.9}, "4": {"accuracy": 0.3}, "9": {"accuracy": 0.4}},
            "overlaps": {"9 and 4": 0.4, "4 and 1": 0.01},
        },
    }


def test_capacity_is_told_by_the_gap() -> None:
    last = {"train_loss": 0.001, "test_loss": 0.03, "train_accuracy": 1.0, "test_accuracy": 0.99}
    summary = a_summary()
    summary["classifier"] = {"last": last, "best": {"epoch": 2, "loss": 0.03}}
    assert "it overfits" in explain_capacity(summary)
    assert "lowest, 0.0300, after epoch 2 of 3" in explain_capacity(summary)
    summary["improvement"]["change"] = "wider"
    assert "it underfits" in explain_capacity(summary)
    last["test_accuracy"] = 0.999
    assert "the capacity is enough" in explain_capacity(summary)


def test_the_sentences_follow_the_numbers() -> None:
    assert "at the first attempt" in explain_errors(a_summary())
    assert "It took 3 attempts" in explain_errors(a_summary() | {"attempts": 3})
    assert "since it overfits" in explain_improvement(a_summary())
    assert "32 filters instead of 16" in explain_improvement(a_summary("wider"))
    assert "That did not help" in explain_improvement(a_summary(gained=-0.001))
    text = explain_overlaps(a_summary())
    assert "Clear clusters (at least 70%): 1: 90%" in text
    assert "taken for the other: 9 and 4: 40%." in text
    unclear = a_summary()
    unclear["all"] = {
        "classes": {"1": {"accuracy": 0.5}, "4": {"accuracy": 0.3}},
        "overlaps": {"4 and 1": 0.05},
    }
    assert "No class reaches 70%; the best are 1, 4" in explain_overlaps(unclear)
    assert "No pair is taken for each other" in explain_overlaps(unclear)


@pytest.mark.slow
def test_a_run_answers_everything_and_begins_anew_where_a_unit_died(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise, calls = Autoencoder.initialise, []

    def dead_at_first(model: Autoencoder, x: Tensor) -> None:
        initialise(model, x)
        calls.append(model)
        if len(calls) == 1:
            with torch.no_grad():
                next(reversed([*model.encoder.parameters()])).fill_(-100.0)

    monkeypatch.setattr(Autoencoder, "initialise", dead_at_first)
    assert run(f"{mnist} latent_study {tmp_path}/a --epochs 2") == 0
    assert len(calls) == 2
    found = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert found["attempts"] == 2
    text = (tmp_path / "a" / "answers.md").read_text()
    assert tuple(re.findall("^## (.*)$", text, re.MULTILINE)) == QUESTIONS
    assert [a.identifier for a in answers(found)] == [*QUESTIONS]
    pictures = {path.stem for path in (tmp_path / "a").glob("*.png")}
    assert pictures >= {"loss", "latents_autoencoder", "grid_autoencoder", "plane_vae", "confusion"}
    assert run(f"{mnist} latent_study {tmp_path}/b --epochs 2 --seed 1") == 0
    assert run(f"{mnist} latent_study {tmp_path}/c --epochs 2 --seed 1") == 0
    for path in (tmp_path / "b").iterdir():
        if path.suffix != ".state":
            assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent latent_study out", "nothing there"),
        ("DATA latent_study out --epochs 0", "--epochs"),
        ("DATA latent_study out --beta -1", "--beta"),
        ("DATA latent_study out --latents 3", "--latents"),
        ("DATA latent_study", "no OUT_DIR"),
        ("DATA latent_study out --test DATA", "the training images themselves"),
    ],
)
def test_a_mistake_is_one_line(
    line: str,
    message: str,
    mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(line.replace("DATA", str(mnist)), capsys)
    assert not Path("out").exists()
