import copy
import json
import re
import shutil
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
from studies.celeba.data import find_partition, read_faces, read_partition
from studies.celeba.measures import check_formula, measure_paths
from studies.celeba.networks import VAE
from studies.celeba.options import Options
from studies.celeba.sampling import Model, among_codes, prior_gap
from studies.celeba.study import ANSWERS
from tests.mistakes import refusal
from tests.studies.sections import sections

SMALL = "--preset quick --images 60 --held-out 20 --size 32 24 --num-hidden 4 --batch-size 30"


def run(line: str) -> int:
    return vae.main(line.split())


@given(height=st.integers(16, 60), width=st.integers(16, 60))
def test_the_output_has_the_input_s_size_whatever_it_is(height: int, width: int) -> None:
    model = VAE(3, 2, 8, 8, 3, (height, width))
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
    model = VAE(3, 2, 8, 8, 2, (16, 16))
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


LISTS = {
    "list_eval_partition.txt": "{} {}",
    "Eval/list_eval_partition.txt": "{} {}",
    "list_eval_partition.csv": "{},{}",
    "img_align_celeba/list_eval_partition.csv": "{},{}",
}


@pytest.mark.parametrize("place", LISTS)
@pytest.mark.parametrize("inner", ["img_align_celeba", "Img/img_align_celeba"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_partition_says_who_trains(tmp_path: Path, place: str, inner: str, end: str) -> None:
    images = tmp_path / inner
    images.mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    file = tmp_path / (place if "img" not in place else f"{inner}/{Path(place).name}")
    file.parent.mkdir(exist_ok=True)
    header = ["image_id,partition"] * place.endswith("csv")
    lines = [LISTS[place].format(name, part) for name, part in zip(names, "001201", strict=True)]
    file.write_bytes(end.join([*header, *lines, ""]).encode())
    for path in (tmp_path, images):
        assert find_partition(path, images) == file
        parts = read_partition(file, [f"img_align_celeba/{name}" for name in names])
        assert [*parts.values()] == [0, 0, 1, 2, 0, 1]
        assert read_partition(file, ["0", "1"]) == {}, "a list of other images"


def test_folders_of_parts_divide_as_well_as_a_list(portraits: Path, tmp_path: Path) -> None:
    files = sorted((portraits / "img_align_celeba").glob("*.jpg"))
    for number, file in enumerate(files):
        target = tmp_path / "faces" / ("test" if number % 5 == 0 else "Training") / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    (tmp_path / "faces" / "test" / "x.heic").write_bytes(b"x")
    faces = read_faces(Options(size=(32, 24)), tmp_path / "faces", tmp_path / "cache")
    assert len(faces.held_out) == -(-len(files) // 5)
    assert len(faces.train) + len(faces.held_out) == len(files)


PATH: dict[str, Any] = {
    "ends": 0.2,
    "middles": 0.15,
    "closer": {"difference": -0.05, "error": 0.01},
    "shortest": 0.05,
    "longest": 0.2,
}


def a_summary() -> dict[str, Any]:
    """Return what the sentences need, for a run that went well."""
    model = {
        "ssim": 0.4,
        "psnr": 15.0,
        "mse": 0.03,
        "train_mse": 0.02,
        "gap": {"difference": 0.0, "error": 0.001},
        "against_pca": {"difference": -0.01, "error": 0.001},
        "sharpness_error": 0.01,
        "diversity_prior_error": 0.005,
        "diversity_fitted_error": 0.005,
        "prior_gap": 0.1,
        "prior_among_codes": 0.97,
        "fitted_among_codes": 0.99,
        "paths": dict.fromkeys(("prior", "fitted"), PATH),
        "kl": 12.0,
        "kept": {"overall colour": 0.9, "4 x 4 blocks": 0.6, "16 x 16 blocks": 0.2, "detail": -0.1},
        "active_units": 3,
        "sharpness_of_reconstructions": 0.2,
        "diversity_prior": 0.2,
        "diversity_fitted": 0.19,
        "nearest_prior": 0.11,
        "nearest_fitted": 0.12,
    }
    losses = {"loss": 100.0, "held_out_loss": 101.0, "kl": 12.0, "reconstruction": 96.0}
    return {
        "images": 3000,
        "held_out": 20,
        "size": (54, 44),
        "epochs": 5,
        "beta": 0.3,
        "unit": "nats",
        "diversity_of_real_faces": 0.25,
        "nearest_of_real_faces": 0.1,
        "initial_weights": {
            "0.02": {"reconstruction": 5000.0, "stuck": 0.01},
            "1": {"reconstruction": 34000.0, "stuck": 0.64},
            "PyTorch's own": {"reconstruction": 5100.0, "stuck": 0.0},
        },
        "known": 2000,
        "pairs": 100,
        "check": {"latents": 100, "samples": 10_000, "formula": 9.1, "sampled": 9.2, "error": 0.1},
        "interpolation": {
            "pixels": 0.12,
            "latent": 0.08,
            "outside": 0.2,
            "pixels_distance": {"mean": 0.12, "error": 0.002},
            "latent_distance": {"mean": 0.08, "error": 0.002},
            "real_distance": {"mean": 0.1, "error": 0.002},
        },
        "ssim_gain": {"difference": 0.2, "error": 0.01},
        "first": {3: losses | {"loss": 200.0}, 100: losses},
        "last": {3: losses, 100: losses | {"loss": 80.0, "held_out_loss": 90.0}},
        "late": {
            3: {"epochs": 5, "difference": 0.0, "error": 0.1, "best": 4, "rise": 0.0},
            100: {"epochs": 5, "difference": -1.0, "error": 0.1, "best": 5, "rise": 0.0},
        },
        "models": {
            3: model,
            100: model | {"active_units": 60, "ssim": 0.6, "diversity_fitted": 0.24, "kl": 90.0},
        },
    }


def answered(**changes: Any) -> dict[str, str]:
    """Return the answers of a run that went well, except for `changes`.

    The parts of a change's path, joined by two underscores, are keys of the summary.
    """
    summary = copy.deepcopy(a_summary())
    for path, value in changes.items():
        *parents, last = (int(key) if key.isdigit() else key for key in path.split("__"))
        place: Any = summary
        for key in parents:
            place = place[key]
        place[last] = value
    return sections(ANSWERS, summary)


@pytest.mark.parametrize(
    ("question", "path", "values", "sentences"),
    [
        (
            *("2c", "interpolation__pixels_distance__mean", (0.11, 0.1)),
            ("is farther away than", "is not farther away than"),
        ),
        (
            *("5b, curves", "late__3__rise", (1.0, 0.1)),
            ("lowest after epoch 4 and has risen since by 1", "not changed beyond the noise"),
        ),
        (
            "5b, curves",
            "late__3__difference",
            (-0.1, -1.0),
            ("not changed beyond the noise", "lower it further"),
        ),
        (
            *("5b, curves", "models__3__gap__difference", (0.01, 0.001)),
            ("So the network knows the training faces better", "does not show that the network"),
        ),
        ("5b, curves", "epochs", (1, 2), ("over 1 epoch,", "over 2 epochs,")),
        ("5b, curves", "unit", ("nats", "squared error"), ("200 to 100 in", "200.0 to 100.0 in")),
        (
            *("5b, reconstructions", "models__3__kept", ({"detail": 0.51}, {"detail": 0.5})),
            ("keep more than half of: detail.", "lose at least half of: detail."),
        ),
        (
            *("5c, reconstructions", "ssim_gain__difference", (0.1, 0.01)),
            ("let z say more about a face", "does not show that a larger z helps"),
        ),
        (
            *("5c, dimension", "models__100__active_units", (99, 100)),
            ("The other latent has stayed at the prior", "has a use for all of them"),
        ),
        (
            *("5c, blur", "models__3__sharpness_of_reconstructions", (0.9, 0.99)),
            ("with 3 and 100 latents are blurred", "With 3 latents, edges are as strong as real"),
        ),
        (
            *("6, many latents", "models__100__prior_among_codes", (0.49, 0.5)),
            ("Look at `faces_100_fitted.png`", "lie among the codes of faces"),
        ),
        (
            *("6, difference", "models__100__diversity_fitted", (0.25, 0.19)),
            ("L = 100 are more diverse than", "differs only by the noise"),
        ),
        (
            *("7", "interpolation__latent_distance__mean", (0.11, 0.12)),
            ("So the decoded image is closer", "So the decoded image is not closer"),
        ),
    ],
)
def test_the_sentences_follow_the_numbers(
    question: str, path: str, values: tuple[Any, Any], sentences: tuple[str, str]
) -> None:
    texts = [answered(**{path: value})[question] for value in values]
    for text, said, unsaid in zip(texts, sentences, reversed(sentences), strict=True):
        assert said in text
        assert unsaid not in text


def test_a_prior_apart_from_the_codes_is_an_exception_for_its_model() -> None:
    assert "outside the codes" not in answered()["7"]
    text = answered(models__100__prior_among_codes=0.2)["7"]
    assert "With L = 100, the middles are closer" in text
    assert text.count("Most samples from the prior are outside the codes of faces") == 1
    assert "`faces_3_fitted.png`" in answered(models__3__prior_among_codes=0.2)["6, few latents"]


@pytest.mark.parametrize(
    ("prior", "fitted", "said"),
    [
        (-0.1, -0.1, "for both kinds of samples"),
        (-0.1, 0.1, "for samples from the prior only"),
        (0.1, -0.1, "for samples from the fitted Gaussian only"),
        (0.01, -0.01, "not closer to real faces"),
    ],
)
def test_middles_are_compared_with_their_ends(prior: float, fitted: float, said: str) -> None:
    closer = ({"difference": value, "error": 0.01} for value in (prior, fitted))
    paths = {k: PATH | {"closer": c} for k, c in zip(("prior", "fitted"), closer, strict=True)}
    assert said in answered(models__3__paths=paths)["7"]


def test_the_steps_of_a_path_are_shares_of_its_way() -> None:
    class Line:
        """A stand-in for a network, whose images are as grey as the first latent."""

        device = torch.device("cpu")

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, :1, None, None].expand(-1, 3, 32, 32)

    z = torch.tensor([[0.0, 5], [1.0, 5]]).repeat(4, 1)
    network: Any = Line()
    model = Model(network, [], 0.0, {"prior": z}, {}, {})
    known = np.array([[0.5], [0.0]], np.float32).repeat(3 * 32 * 32, axis=1)
    found = measure_paths(model, "prior", known)
    assert found["shortest"] == pytest.approx(0.1, abs=1e-4)
    assert found["longest"] == pytest.approx(0.1, abs=1e-4)
    assert found["middles"] == pytest.approx(0, abs=1e-4)
    assert found["ends"] == pytest.approx(0.25, abs=1e-4)


def test_the_derivations_have_ten_steps_and_a_check() -> None:
    for question in ("3a", "3b"):
        steps = re.findall(r"^\((\d+)\) ", answered()[question], re.MULTILINE)
        assert steps == [str(number) for number in range(1, 11)]
    assert "docs/" not in "".join(answered().values()), "the notebook has no such file"
    text = answered()["3b"]
    assert "For the 100 means and variances" in text
    assert "(10) is 9.100. The mean of (1) over 10,000 samples" in text
    network = VAE(3, 4, 32, 32, 6, (32, 24)).eval()
    found = check_formula(network, torch.rand(1, 3, 32, 24), 0)
    assert abs(found["formula"] - found["sampled"]) < 5 * found["error"]


def test_the_published_weight_init_changes_nothing() -> None:
    # It loops over this dictionary; ours visits the modules themselves.
    assert all(isinstance(name, str) for name in VAE(3, 4, 32, 32, 6, (32, 24))._modules)
    text = answered()["4d"]
    assert "| PyTorch's own | 5,100 | 0% |" in text
    assert "| standard deviation 1 | 34,000 | 64% |" in text


def test_samples_of_a_gaussian_lie_in_its_ellipsoid() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, covariance = torch.tensor([1.0, -2]), torch.tensor([[2.0, 0.9], [0.9, 0.5]])
    z = mean + torch.randn(20_000, 2, generator=generator) @ torch.linalg.cholesky(covariance).T
    assert among_codes(z, mean, covariance) == pytest.approx(0.99, abs=0.003)
    assert among_codes(z + 50, mean, covariance) == 0


def test_only_a_loss_in_nats_has_the_entropy_of_pixels() -> None:
    assert "entropy of pixels" in answered()["5c, curves"]
    assert "entropy of pixels" not in answered(unit="squared error")["5c, curves"]


def test_what_is_kept_and_lost_is_said_only_if_there_is_any() -> None:
    text = answered()["5b, reconstructions"]
    assert "overall colour: 90%, 4 x 4 blocks: 60%, 16 x 16 blocks: 20%, detail: 0%. They" in text
    assert "keep more than half of: overall colour, 4 x 4 blocks." in text
    assert "lose at least half of: 16 x 16 blocks, detail." in text
    text = answered(models__3__kept={"detail": 0.2})["5b, reconstructions"]
    assert "more than half" not in text
    text = answered(models__3__kept={"detail": 0.8})["5b, reconstructions"]
    assert "at least half" not in text


def test_one_size_of_z_is_not_compared() -> None:
    texts = answered(models={3: a_summary()["models"][3]})
    for question in ("5c, reconstructions", "6, difference"):
        assert "only one size of z" in texts[question]
        assert "L = 100" not in texts[question]
    assert texts["5c, curves"] == texts["5b, curves"].replace("few", "many")
    assert "only one size of z" not in "".join(answered().values())


def test_the_numbers_are_those_of_the_run() -> None:
    texts = answered()
    assert "one size, here 54 x 44;" in texts["2a"]
    assert "trains on 3,000 images and is judged on 20 others" in texts["2a"]
    assert "nearest of 2,000 training faces is 0.120 per pixel" in texts["2c"]
    assert "20% of its values are outside" in texts["2c"]
    assert "training with 100 latents, the KL term is 4.5% of" in texts["4d"]
    assert "| standard deviation 0.02 | 5,000 | 1% |" in texts["4d"]
    assert "the SSIM changes by +0.200 and the PSNR by +0.0 dB" in texts["5c, reconstructions"]
    assert "uses 60 of its 100 latents" in texts["5c, dimension"]
    assert "L = 3: 0.20, L = 100: 0.20. So" in texts["5c, blur"]
    generated, difference = texts["6, few latents"], texts["6, difference"]
    assert "80% (prior) and 76% (fitted) of the diversity" in generated
    assert "0.110 (prior) or 0.120 (fitted). For a held-out face, it is 0.100." in generated
    assert "0.240 against 0.190. A code carries 90 nats about a face instead of 12." in difference


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"late__3__difference": 3.0, "models__3__train_mse": 0.03, "unit": "squared error"},
        {"models__3__sharpness_of_reconstructions": 1.1, "models__100__prior_among_codes": 0.0},
        {"models": {3: a_summary()["models"][3]}},
    ],
)
def test_the_text_has_no_stray_spaces(changes: dict[str, Any]) -> None:
    for question, text in answered(**changes).items():
        assert not re.search(r"  | [.,;:)]|[.,;:]{2}|\( | \n|\n \S|\n{3}", text), question
        if question not in ("3a", "3b", "4d", "7"):
            assert text.count("\n\n") == 3, question


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
    written, template = (
        re.findall("^## (.*)$", path.read_text(), re.MULTILINE)
        for path in (tmp_path / "b" / "answers.md", ANSWERS)
    )
    assert written == ["This run", *template]
    found = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert (found["images"], found["held_out"]) == (60, 20)
    model = VAE(3, 4, 32, 32, 2, (32, 24))
    model.load_state_dict(torch.load(tmp_path / "b" / "celeba_latent_2.pth"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent celeba out", "nothing there"),
        ("DATA celeba out --size 8 8", "Invalid value for '--size'"),
        ("DATA celeba out --latents 0", "Invalid value for '--latents'"),
        ("DATA celeba out --size 32 24 --latents", "requires an argument"),
        ("DATA celeba out --images 3 --held-out 20", "3 images to train on, 20 held out"),
        ("DATA celeba out --devices 4000", "at most"),
        ("DATA celeba out --devices 0", "Invalid value for '--devices'"),
        ("DATA celeba out --images -5", "Invalid value for '--images'"),
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
    for text, message in (("a.png x", "line 1: 'a.png x'"), ("b.png 0", "1 images: a.png")):
        (tmp_path / "list_eval_partition.txt").write_text(text)
        assert run(f"{tmp_path} celeba {tmp_path}/out") == 2
        assert message in capsys.readouterr().err
