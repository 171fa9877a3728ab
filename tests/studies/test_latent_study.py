import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

import vae
from studies.latent_study.images import Images
from studies.latent_study.neighbours import (
    ClassRate,
    NeighbourRates,
    holm,
    neighbours,
    overlaps,
    rate,
    rate_neighbours,
)
from studies.latent_study.networks import (
    Autoencoder,
    ConvolutionalVae,
    classifier,
    decoder,
    encoder,
    sample,
)
from studies.latent_study.planes import GridMeasures, ModelMeasures, by_quantiles, by_range
from studies.latent_study.study import ANSWERS
from studies.latent_study.summary import (
    ClassifierMeasures,
    Improvement,
    Losses,
    LowestLoss,
    Summary,
    lowest_loss,
)
from studies.latent_study.training import DeadUnitError, Networks, Trained, check_alive
from tests.mistakes import refusal
from tests.studies.sections import sections

# Written by hand from the assignment: exercises 1 to 6.
ASKED = (
    *("1", "2a", "2b", "2c", "3a", "3b", "3c", "4a", "4b", "4c"),
    *("5a", "5b", "6a", "6b", "6c", "6d"),
)


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


def test_points_deviate_by_the_exponential_of_the_second_vector() -> None:
    mean, log_deviation, noise = torch.randn(3, 5, 2)
    expected = mean + noise * log_deviation.exp()
    torch.testing.assert_close(sample(mean, log_deviation, noise), expected)
    drawn = sample(torch.zeros(20_000, 2), torch.full((20_000, 2), -1.0))
    assert drawn.std().item() == pytest.approx(np.exp(-1), rel=0.02)


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
    found = rate(np.arange(40) < 31)
    p, n, z = 31 / 40, 40, 1.959963984540054
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert found.interval == pytest.approx((middle - half, middle + half))
    assert rate(np.zeros(0, bool)).number == 0


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
    found = rate_neighbours(nearest[:100], images_of(labels), images_of(truth))
    assert found.right == (predicted[:100] == truth[:100]).sum()
    assert found.number == 100
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (truth[:100], predicted[:100]), 1)
    assert found.confusion == confusion.tolist()
    for label, name in enumerate("abc"):
        assert found.classes[name].number == (truth[:100] == label).sum()
    shares = np.bincount(labels) / 300
    assert found.random == pytest.approx((shares * np.bincount(truth[:100])).sum() / 100)
    pair = (confusion[0, 1] + confusion[1, 0]) / confusion[:2].sum()
    assert found.overlaps["b and a"] == pytest.approx(pair)
    assert binomtest(found.right, 100, found.random).pvalue < 0.01


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


def test_the_lowest_loss_is_that_of_its_epoch() -> None:
    history = [{"test_loss": loss} for loss in (0.4, 0.2, 0.3)]
    assert lowest_loss(history) == LowestLoss(epoch=2, loss=0.2)


@pytest.mark.parametrize(("after", "best"), [(0.9, "improved"), (0.8, "plain"), (0.7, "plain")])
def test_the_better_classifier_judges_the_grids(after: float, best: str) -> None:
    plain, improved = nn.Identity(), nn.Identity()
    networks = Networks(
        autoencoder=Trained(Autoencoder(), []),
        vae=Trained(ConvolutionalVae(), []),
        classifier=Trained(plain, [{"test_accuracy": 0.8}]),
        improved=Trained(improved, [{"test_accuracy": after}]),
        change="wider",
        attempts=1,
    )
    assert networks.best_classifier() is {"plain": plain, "improved": improved}[best]


LAST = {"train_loss": 0.03, "test_loss": 0.05, "train_accuracy": 0.99, "test_accuracy": 0.98}


GAP = {"difference": 0.02, "error": 0.005}
GAIN = {"difference": 0.01, "error": 0.002}


def a_model() -> ModelMeasures:
    return ModelMeasures(
        train_mse=0.039,
        test_mse=0.04,
        range=[(0.0, 4.0), (0.5, 3.0)],
        mean=[0.1, -0.2],
        deviation=[0.9, 1.1],
        clipped=[0.25, 0.125],
        clipped_both=0.05,
        clipped_by_class={"1": 0.1, "4": 0.4, "9": 0.2},
        occupied=0.5,
        densest=0.3,
        against_pca={"difference": -0.01, "error": 0.001},
        active_units=2,
        first_axis=0.6,
    )


def neighbour_rates(number: int, right: int) -> NeighbourRates:
    verdicts = {"1": "better", "4": "worse", "9": "as the rest"}
    accuracies = {"1": 0.9, "4": 0.3, "9": 0.4}
    return NeighbourRates(
        **vars(rate(np.arange(number) < right)),
        random=0.333,
        classes={
            name: ClassRate(number // 3, right // 3, accuracies[name], (0.1, 0.95), 0.333, verdict)
            for name, verdict in verdicts.items()
        },
        confusion=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        overlaps={"9 and 4": 0.4, "4 and 1": 0.01},
    )


def a_grid(occupied: float, distance: float) -> GridMeasures:
    return GridMeasures(
        recognised=0.6,
        recognised_occupied=0.7,
        recognised_empty=0.2,
        occupied=occupied,
        distance=distance,
        distance_error=0.01,
        classes={"1": 90, "4": 45, "9": 0},
        left_to_right=["1", "9"],
        bottom_to_top=["4", "1"],
        ink_left_to_right=(0.11, 0.12),
        ink_bottom_to_top=(0.13, 0.14),
    )


def a_summary() -> dict[str, Any]:
    """Return the numbers of a run that went well, to be changed by a test."""
    summary = Summary(
        images=9000,
        held_out=1500,
        classes=("1", "4", "9"),
        epochs=3,
        beta=0.5,
        attempts=1,
        pca_mse=0.05,
        real_distance=0.1,
        losses={
            "autoencoder": Losses({"loss": 0.06}, {"loss": 0.03}),
            "vae": Losses({"reconstruction": 50.0, "kl": 1.0}, {"reconstruction": 30.0, "kl": 4.0}),
        },
        models={"autoencoder": a_model(), "vae": a_model()},
        first=neighbour_rates(1000, 690),
        all=neighbour_rates(1500, 1050),
        vae_all=neighbour_rates(1500, 1200),
        classifier=ClassifierMeasures(LAST, GAP, LowestLoss(epoch=2, loss=0.045), parameters=7770),
        improvement=Improvement("distorted", GAIN, LAST | {"test_accuracy": 0.99}, parameters=7770),
        grids={
            "autoencoder": a_grid(occupied=0.5, distance=0.2),
            "vae": a_grid(occupied=0.6, distance=0.12),
            "quantiles": a_grid(occupied=0.9, distance=0.11),
        },
    )
    return asdict(summary)


def test_all_sections_of_a_run_that_went_well_are_filled() -> None:
    texts = sections(ANSWERS, a_summary())
    assert tuple(texts) == ASKED
    for text in texts.values():
        assert re.match(r"\n\n\*[A-Z].*\?\*\n\n\S", text)
        assert not re.search(r"  | [.,;:)]|\( |\{|nan|None", text)


def test_attempts_are_explained() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["1"]
    assert "No ReLU died in the first attempt" in text
    assert "attempts." not in text
    assert "from 0.0600 to 0.0300" in text
    text = sections(ANSWERS, summary | {"attempts": 3})["1"]
    assert "took 3 attempts" in text
    assert "No ReLU died" not in text


def test_a_name_may_contain_an_and() -> None:
    summary = a_summary()
    rates = summary["all"]
    rates["classes"] = dict(
        zip(("cats and dogs", "birds"), rates["classes"].values(), strict=False)
    )
    rates["overlaps"] = {"birds and cats and dogs": 0.9}
    summary["models"]["autoencoder"]["clipped_by_class"] = dict.fromkeys(rates["classes"], 0.1)
    assert "birds and cats and dogs (90%)" in sections(ANSWERS, summary)["2b"]


def test_clusters_and_overlaps_follow_the_rates() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["2b"]
    assert "1 (90%), 9 (40%), 4 (30%). Clearer than all other classes together (3b): 1." in text
    assert "Less clear: 4." in text
    assert "taken for the other class): 9 and 4 (40%). " in text
    summary["all"]["overlaps"] = {"9 and 4": 0.05, "4 and 1": 0.01}
    text = sections(ANSWERS, summary)["2b"]
    assert "No pair of classes is confused more often than by chance. Most confused: 9 and" in text
    assert "overlap (" not in text


def test_clipping_is_told_of_the_class_with_most_of_it() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["2c"]
    assert "25.0% of the images have z1 = 0, 12.5% have z2 = 0, and 5.0% have both." in text
    assert "Class 4 is affected most: 40.0%" in text
    summary["models"]["autoencoder"]["clipped"] = [0.0, 0.125]
    assert "0.0% of the images have z1 = 0, 12.5% have z2" in sections(ANSWERS, summary)["2c"]
    summary["models"]["autoencoder"]["clipped"] = [0.0, 0.0]
    text = sections(ANSWERS, summary)["2c"]
    assert "No point is clipped in this run" in text
    assert "Class 4" not in text


def test_the_first_neighbours_have_a_table_of_their_own_if_there_are_more() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["3a"]
    assert "Of the first 1,000 test images, 690 are classified correctly: 69.0%" in text
    assert "Of all 1,500 test images, 1,050 are classified correctly: 70.0%" in text
    assert text.count("\n\n| class |") == 2
    assert "| 1 | 500 | 350 | 90.0% | 10.0% to 95.0% | 33.3% | better |\n" in text
    assert "| 33.3% | no difference shown |\n" in text
    text = sections(ANSWERS, summary | {"first": summary["all"]})["3a"]
    assert "Of the first" not in text
    assert text.count("\n\n| class |") == 1


def test_chance_and_verdicts_follow_the_rates() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["3b"]
    assert "By chance, 333 of 1,000 test images (33.3%)" in text
    assert "690 are correct, which chance does not explain." in text
    verdicts = "Better than the rest: 1. Worse: 4. No difference shown: 9. "
    assert verdicts in text
    for row in summary["all"]["classes"].values():
        row["verdict"] = "as the rest"
    summary["first"] |= {"right": 340, "interval": (0.32, 0.36)}
    text = sections(ANSWERS, summary)["3b"]
    assert "340 are correct, which chance can explain." in text
    assert "Better than the rest: none. Worse: none. No difference shown: 1, 4, 9. " in text


def test_capacity_is_told_by_the_gap() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["4b"]
    assert "it overfits" in text
    assert "which is 1.7 times the training loss" in text
    assert "lowest, 0.0450, after epoch 2 of 3" in text
    summary["improvement"]["change"] = "wider"
    summary["classifier"]["gap"] = {"difference": 0.02, "error": 0.02}
    assert "it underfits" in sections(ANSWERS, summary)["4b"]
    summary["improvement"]["gain"] = {"difference": 0.001, "error": 0.002}
    assert "the capacity suffices" in sections(ANSWERS, summary)["4b"]
    summary["classifier"]["last"]["train_loss"] = 0.0
    assert "50000000.0 times" in sections(ANSWERS, summary)["4b"]


def test_the_improvement_is_named_and_judged() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["4c"]
    assert "The classifier overfits" in text
    assert "rotated, sheared" in text
    assert "from 98.00% to 99.00%" in text
    assert "The change improved the test accuracy." in text
    summary["improvement"]["change"] = "wider"
    summary["classifier"]["gap"]["difference"] = 0.0
    for gain, said in ((-0.01, "made the test accuracy worse"), (0.001, "only by the noise")):
        summary["improvement"]["gain"]["difference"] = gain
        text = sections(ANSWERS, summary)["4c"]
        assert "does not overfit, so this run trained another one with 32 filters" in text
        assert said in text


def test_recognised_cells_are_counted_by_class() -> None:
    summary = a_summary()
    text = sections(ANSWERS, summary)["5b"]
    assert "above 0.9, in 60% of the cells (1 in 90, 4 in 45). It never recognises 9. " in text
    assert "from left to right, are 1 9. " in text
    assert "recognises 70% of these cells and 20% of the others." in text
    summary["grids"]["autoencoder"] |= {
        "classes": {"1": 90, "4": 45, "9": 90},
        "recognised_empty": None,
    }
    text = sections(ANSWERS, summary)["5b"]
    assert "of the cells (1 in 90, 4 in 45, 9 in 90). Every class occurs. " in text
    assert "recognises 70% of these cells.\n" in text
    summary["grids"]["autoencoder"] |= {"recognised": 0.0, "classes": {"1": 0, "4": 0, "9": 0}}
    text = sections(ANSWERS, summary)["5b"]
    assert "in 0% of the cells. It never recognises 1, 4, 9. " in text


def test_each_grid_of_the_vae_has_its_own_classes() -> None:
    summary = a_summary()
    summary["grids"]["quantiles"]["classes"] = {"1": 1, "4": 2, "9": 3}
    first, second = sections(ANSWERS, summary)["6c"].strip().split("\n\n")[1:]
    assert first.endswith("(1 in 90, 4 in 45). It never recognises 9.")
    assert second.endswith("(1 in 1, 4 in 2, 9 in 3). Every class occurs.")


def test_the_grids_are_compared_by_their_distances() -> None:
    summary = a_summary()
    assert "are nearer to real images" in sections(ANSWERS, summary)["6d"]
    for distance, said in ((0.2, "differ only by the noise"), (0.3, "are farther from real")):
        summary["grids"]["quantiles"]["distance"] = distance
        assert said in sections(ANSWERS, summary)["6d"]
    summary["models"]["vae"]["active_units"] = 0
    text = sections(ANSWERS, summary)["6d"]
    assert "No unit of the VAE's z depends on the image" in text
    assert "real images than" not in text


@pytest.mark.slow
def test_a_run_answers_everything_and_starts_again_after_a_dead_unit(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert re.search("^autoencoder_0: the ReLU of latent 1 is dead", capsys.readouterr().out, re.M)
    found = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert found["attempts"] == 2
    text = (tmp_path / "a" / "answers.md").read_text()
    assert tuple(re.findall("^## (.*)$", text, re.MULTILINE)) == ("This run", *ASKED)
    assert "took 2 attempts" in text
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
