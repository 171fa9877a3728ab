import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score
from torch import nn

import vae
from grader.errors import UserError
from losses import kl_divergence
from studies.faces.data import Faces, describe_source, split, spread
from studies.faces.feature_maps import all_feature_maps, described, unpooling_example
from studies.faces.measures import judge_clusters
from studies.faces.networks import (
    NETWORKS,
    MlpAutoencoder,
    UnpoolingAutoencoder,
    Variant,
    VariationalAutoencoder,
    convolutions,
    feature_maps,
    transposed_convolutions,
)
from studies.faces.options import Options
from studies.faces.study import ANSWERS
from studies.faces.training import vae_losses
from studies.shared.pictures import Source
from tests.mistakes import refusal
from tests.studies.sections import sections


def run(line: str) -> int:
    return vae.main(line.split())


@pytest.fixture(autouse=True)
def any_algorithm() -> Iterator[None]:
    """Allow nondeterministic algorithms, because unpooling has no deterministic one.

    `train`, in another test, requires deterministic algorithms.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("variant", NETWORKS)
def test_each_network_gives_back_the_image_s_shape(variant: Variant) -> None:
    model = NETWORKS[variant](20)
    x = torch.rand(2, 3, 128, 128)
    recon = model(x)
    assert recon.shape == x.shape
    assert recon.min() >= 0
    assert recon.max() <= 1
    assert model.encode(x).shape == (2, 20)


def test_the_printed_layers() -> None:
    down = [m for m in convolutions().modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in transposed_convolutions().modules() if isinstance(m, nn.ConvTranspose2d)]
    channels = [3, 32, 64, 128, 256, 512, 1024, 1024]
    assert [down[0].in_channels, *(m.out_channels for m in down)] == channels
    assert [up[0].in_channels, *(m.out_channels for m in up)] == channels[::-1]
    assert {(m.kernel_size, m.stride) for m in [*down, *up]} == {((2, 2), (2, 2))}
    model = VariationalAutoencoder(64)
    shapes = [(layer.in_features, layer.out_features) for layer in (model.fc1, model.fc2)]
    assert shapes == [(1024, 64), (1024, 64)]
    assert (model.fc3.in_features, model.fc3.out_features) == (64, 1024)


def test_unpooling_puts_values_back_where_they_were() -> None:
    model = UnpoolingAutoencoder(8).eval()
    x = torch.rand(1, 3, 128, 128)
    _, places = model.features(x)
    first = model.down[0](x)
    pooled, where = model.pool(first)
    assert (where == places[0]).all()
    restored = model.unpool(pooled, where)
    assert (restored[restored > 0] == first[restored > 0]).all()
    assert (restored > 0).float().mean() <= 0.25


def test_the_unpooling_example_is_the_slides() -> None:
    found = {name: torch.tensor(rows) for name, rows in unpooling_example().items()}
    numbers = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    maxima, places = nn.MaxPool2d(2, stride=2, return_indices=True)(numbers)
    assert (found["input"] == numbers[0, 0]).all()
    assert (found["maxima"] == maxima[0, 0]).all()
    assert (found["places"] == places[0, 0]).all()
    assert (found["unpooled"] == nn.MaxUnpool2d(2, stride=2)(maxima, places)[0, 0]).all()
    text = sections(ANSWERS["faces_ae"], a_summary())["Decoder"]
    assert "6, 8, 14, 16, and its place, counted row by row from 0: 5, 7, 13, 15." in text
    assert "The other 12 become 0" in text
    assert "| 5 | 6 | 7 | 8 | | 0 | 6 | 0 | 8 |" in text


def test_the_mlp_narrows_to_the_latents_and_widens_again() -> None:
    layers = [m for m in MlpAutoencoder(30).modules() if isinstance(m, nn.Linear)]
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    assert sizes == [49152, 1000, 500, 250, 30, 250, 500, 1000, 49152]


def test_seven_halvings_take_224_to_1_and_the_mirror_gives_128() -> None:
    sides = {}
    for side in (128, 224):
        down, up = feature_maps(side, 20)
        sides[side] = [shape[1] for shape in down[:8]]
        assert down[-2:] == [(1024,), (20,)]
        assert up[0] == (20,)
        assert up[-1] == (3, 128, 128)
        images = torch.rand(2, 3, side, side)
        assert convolutions()(images).shape == (2, 1024)
    assert sides[128] == [128, 64, 32, 16, 8, 4, 2, 1]
    assert sides[224] == [224, 112, 56, 28, 14, 7, 3, 1]


def test_the_feature_maps_are_tabulated_and_named() -> None:
    maps = described(all_feature_maps(20))
    answers = sections(ANSWERS["faces_ae"], a_summary() | {"feature_maps": maps})
    rows = [line for line in answers["Encoder"].splitlines() if line.startswith("|")]
    assert rows[0] == "| layer | input 128 x 128 | input 224 x 224 |"
    assert rows[1] == "|---|---|---|"
    assert rows[3] == "| encoder, block 1 | 64 x 64 x 32 | 112 x 112 x 32 |"
    assert rows[9:13] == [
        "| encoder, block 7 | 1 x 1 x 1024 | 1 x 1 x 1024 |",
        "| encoder, flatten | 1024 nodes | 1024 nodes |",
        "| encoder, linear | 20 nodes | 20 nodes |",
        "| decoder, latents | 20 nodes | 20 nodes |",
    ]
    assert rows[13:15] == [
        "| decoder, linear | 1024 nodes | 1024 nodes |",
        "| decoder, unflatten | 1 x 1 x 1024 | 1 x 1 x 1024 |",
    ]
    assert rows[15] == "| decoder, block 1 | 2 x 2 x 1024 | 2 x 2 x 1024 |"
    assert rows[-1] == "| decoder, block 7 | 128 x 128 x 3 | 128 x 128 x 3 |"
    assert "input of 224 x 224 gives 1024 nodes" in answers["Encoder"]
    assert "input of 224 x 224, the output is 128 x 128 x 3" in answers["Decoder"]
    maps[224] |= {"encoder, flatten": "9 nodes", "decoder, block 7": "224 x 224 x 3"}
    answers = sections(ANSWERS["faces_ae"], a_summary() | {"feature_maps": maps})
    assert "input of 128 x 128 gives 1024 nodes" in answers["Encoder"]
    assert "input of 224 x 224 gives 9 nodes" in answers["Encoder"]
    assert "input of 224 x 224, the output is 224 x 224 x 3" in answers["Decoder"]


def test_the_slides_loss_and_the_bound_s() -> None:
    torch.manual_seed(0)
    x, recon = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    mu, logvar = torch.randn(4, 5), torch.randn(4, 5)
    slides = vae_losses(recon, x, mu, logvar, "slides", 4)
    summed = nn.functional.mse_loss(recon, x, reduction="sum")
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
    assert slides["loss"].item() == pytest.approx((summed + kl).item())
    bound = vae_losses(recon, x, mu, logvar, "elbo", 4)
    expected = summed / 4 + kl_divergence(mu, logvar)
    assert bound["loss"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("kind", ["slides", "elbo"])
def test_the_shares_of_two_processes_add_up_to_the_loss(kind: str) -> None:
    torch.manual_seed(0)
    x, recon = torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8)
    mu, logvar = torch.randn(5, 6), torch.randn(5, 6)
    whole = vae_losses(recon, x, mu, logvar, kind, 5)
    parts = [
        (2 * len(x[rows]) / 5, vae_losses(recon[rows], x[rows], mu[rows], logvar[rows], kind, 5))
        for rows in (slice(0, None, 2), slice(1, None, 2))
    ]
    for name, value in whole.items():
        together = sum(share * float(losses[name]) for share, losses in parts) / 2
        assert together == pytest.approx(float(value))


def some_faces(people: int, each: int) -> Faces:
    """Return 1-pixel pictures of `people` people, `each` of them in each of three expressions."""
    kinds = np.repeat(["happy", "angry", "sad"], each)
    expressions = np.tile(kinds, people)
    names = np.repeat([f"p{number}" for number in range(people)], len(kinds))
    images = np.arange(len(names), dtype=np.uint8)[:, None, None, None]
    return Faces(images, expressions, names, "x")


def parts(faces: Faces, options: Options | None = None) -> tuple[Faces, Faces]:
    kept, chosen = split(
        faces.expressions, faces.people, np.full(len(faces), ""), options or Options(), Path("x")
    )
    return faces.part(kept), faces.part(chosen)


def numbers(faces: Faces) -> set[int]:
    return {int(value) for value in faces.images.ravel()}


def test_of_several_people_nobody_is_on_both_sides() -> None:
    train, unseen = parts(some_faces(12, 3))
    assert not set(train.people) & set(unseen.people)
    assert [(unseen.expressions == kind).sum() for kind in ("happy", "angry")] == [10, 10]
    assert not (unseen.expressions == "sad").any()
    assert list(unseen.expressions) == ["happy"] * 10 + ["angry"] * 10


def test_held_out_pictures_show_as_many_people_as_there_are() -> None:
    train, unseen = parts(some_faces(50, 3))
    assert len(set(unseen.people)) == len(unseen) == 20
    assert len(set(train.people)) == 30
    faces = some_faces(30, 3)
    # Only 10 people are angry, and nobody else is needed for that.
    angry = np.isin(faces.people, [f"p{number}" for number in range(10)])
    train, unseen = parts(faces.part(angry | (faces.expressions != "angry")), Options(held_out=5))
    assert [(unseen.expressions == kind).sum() for kind in ("happy", "angry")] == [5, 5]
    assert len(set(unseen.people)) == 10
    _, unseen = parts(some_faces(8, 12))
    assert len(set(unseen.people)) == 4, "at most half of the people"
    assert len(unseen) == 20
    for kind in ("happy", "angry"):
        _, counts = np.unique(unseen.people[unseen.expressions == kind], return_counts=True)
        assert counts.max() - counts.min() <= 1, "each of them about as often"


def test_a_test_part_shows_as_many_people_as_it_has() -> None:
    faces = some_faces(30, 3)
    part = np.where(np.char.str_len(faces.people) == 2, "train", "test")
    kept, chosen = split(faces.expressions, faces.people, part, Options(), Path("x"))
    assert set(part[kept]) == {"train"}
    assert len(set(faces.people[chosen])) == 20


FACES = Path(os.environ.get("VAE_DATA", "/nowhere")) / "faces_128.npz"


@pytest.mark.skipif(not FACES.exists(), reason="VAE_DATA has no faces_128.npz")
def test_twenty_people_are_held_out_of_the_real_faces() -> None:
    data = np.load(FACES)
    expressions = data["label_names"][data["labels"]]
    kept, chosen = split(
        expressions, data["subjects"], np.full(len(expressions), ""), Options(), FACES
    )
    assert len(set(data["subjects"][chosen])) == 20
    assert not set(data["subjects"][chosen]) & set(data["subjects"][kept])
    assert sorted(expressions[chosen]) == ["angry"] * 10 + ["happy"] * 10


def test_of_one_person_no_picture_is_on_both_sides() -> None:
    train, unseen = parts(some_faces(1, 12))
    assert not numbers(train) & numbers(unseen)
    # At most half is held out, so that something is left to learn from.
    assert len(unseen) == 12
    assert len(train) == 24


@pytest.mark.parametrize("expressions", [("happy", "bored"), ("happy", "happy")])
def test_expressions_that_are_not_there_are_a_mistake(expressions: tuple[str, str]) -> None:
    expected = "two --expressions with at least 4 pictures each, from: angry, happy, sad"
    with pytest.raises(UserError, match=expected):
        parts(some_faces(3, 5), Options(expressions=expressions))


def test_folders_say_who_is_on_a_picture_and_how(tmp_path: Path) -> None:
    names = ["ann/happy/1.jpg", "ann/sad/1.jpg", "bob/happy/1.jpg"]
    source = Source(tmp_path, names, lambda _: None)  # type: ignore[arg-type, return-value]
    assert describe_source(source) == (
        ["happy", "sad", "happy"],
        ["ann", "ann", "bob"],
        ["", "", ""],
    )
    alone = Source(tmp_path, ["happy/1.jpg", "sad/1.jpg"], source.read)
    expressions, people, _ = describe_source(alone)
    assert expressions == ["happy", "sad"]
    assert len(set(people)) == 1


def a_few(faces: Faces) -> NDArray[np.bool_]:
    """Return a mask of two pictures of each expression, which are not trained on."""
    mask = np.zeros(len(faces), bool)
    for kind in set(faces.expressions):
        mask[np.flatnonzero(faces.expressions == kind)[:2]] = True
    return mask


def test_clusters_are_judged_on_people_left_out() -> None:
    generator = np.random.default_rng(0)
    faces = some_faces(10, 4)
    faces = faces.part(faces.expressions != "sad")
    own = np.unique(faces.people, return_inverse=True)[1]
    # One latent identifies the person, and none shows the expression.
    z = np.stack([own * 10.0, generator.normal(size=len(own))], axis=1)
    found = judge_clusters(z, faces, a_few(faces))
    assert found["chance"] == 0.5
    assert found["left_out"] == "person"
    assert found["units"] == 20
    assert found["probe"] < 0.7
    assert found["silhouette_of_people"] > found["silhouette"]
    assert found["silhouette"] == pytest.approx(silhouette_score(z, faces.expressions))
    told = np.stack([own * 10.0, (faces.expressions == "happy") * 3.0], axis=1)
    told_apart = judge_clusters(told, faces, a_few(faces))
    assert told_apart["probe"] == 1
    assert told_apart["right"] == 20
    assert told_apart["test_right"] == 4
    # All of 20 units, each of them right with a probability of 1/2.
    assert told_apart["p"] == pytest.approx(0.5**20)
    assert found["p"] > 0.01
    # The plane of the largest variance is noise, so the expression cannot be seen in it.
    hidden = np.concatenate([generator.normal(size=(len(own), 2)) * 9, told[:, 1:]], axis=1)
    found = judge_clusters(hidden, faces, a_few(faces))
    assert found["probe"] == 1
    assert found["plane"] < 0.7


def test_one_person_with_an_expression_is_not_left_out() -> None:
    faces = some_faces(2, 6)
    faces = faces.part(faces.expressions != "sad")
    only_one = faces.part((faces.people == "p0") | (faces.expressions == "happy"))
    z = np.random.default_rng(0).normal(size=(len(only_one), 3))
    found = judge_clusters(z, only_one, a_few(only_one))
    assert found["left_out"] == "picture"
    assert found["units"] == len(only_one)


def test_spread_takes_images_at_equal_distances() -> None:
    images: NDArray = np.arange(21)
    assert spread(images, 5).tolist() == [0, 5, 10, 15, 20]


def a_summary() -> dict[str, Any]:
    row = {"train_mse": 0.002, "unseen_mse": 0.01, "reconstruction": 900.0, "kl": 1.5}
    clusters = {
        "silhouette": 0.01,
        "silhouette_of_people": 0.3,
        "left_out": "person",
        "probe": 0.8,
        "plane": 0.6,
        "units": 100,
        "right": 80,
        "chance": 0.5,
        "p": 1e-9,
        "test_right": 15,
        "plane_p": 0.5,
        "shuffled": (-0.01, 0.02),
    }
    model = {
        "train_mse": 0.002,
        "unseen_mse": 0.01,
        "train_ssim": 0.8,
        "unseen_ssim": 0.5,
        "unseen_psnr": 20.0,
        "gap": {"difference": 0.008, "error": 0.001},
        "ssim_behind": {"difference": 0.0, "error": 0.0},
        "pca_mse": 0.02,
        "mean_face_mse": 0.04,
        "against_mean_face": {"difference": -0.03, "error": 0.001},
        "clusters": clusters,
    }
    return {
        "variant": "slides",
        "images": 900,
        "unseen": 20,
        "people": 100,
        "several": True,
        "expressions": ("happy", "angry"),
        "epochs": 20,
        "last": {20: row},
        "late": {20: {"epochs": 4, "difference": 0.0, "error": 0.001, "best": 7, "rise": 0.0}},
        "course": {20: {2: row | {"train_mse": 0.02, "unseen_mse": 0.02}, 20: row}},
        "models": {20: model},
        "feature_maps": described(all_feature_maps(20)),
        "unpooling": unpooling_example(),
        "unseen_people": 20,
        "unseen_people_by_expression": {"happy": 10, "angry": 10},
        "first": {20: row | {"kl": 5.0}},
        "lowest_kl": {
            20: {"epochs": 4, "difference": 0.1, "error": 0.1, "best": 4, "rise": 1.0, "kl": 0.5}
        },
    }


def answers(summary: dict[str, Any], latents: int = 1) -> dict[str, str]:
    """Return the answers of both modes.

    `latents`: the number of numbers of latents, which begin at 20 and have the same results.
    """
    by_latent = ("first", "last", "late", "lowest_kl", "course", "models")
    sizes = range(20, 20 + latents)
    summary = summary | {key: dict.fromkeys(sizes, summary[key][20]) for key in by_latent}
    return sections(ANSWERS["faces_ae"], summary) | sections(ANSWERS["faces_vae"], summary)


def with_clusters(**found: float) -> dict[str, Any]:
    """Return a summary with other clusters."""
    summary = a_summary()
    summary["models"][20]["clusters"] |= found
    return summary


def test_the_training_s_sentences_follow_the_numbers() -> None:
    text = answers(a_summary())["Training"]
    assert "| 20 | 2 | 0.0200 | 0.0200 |" in text.splitlines()
    assert "| 20 | 20 | 0.0020 | 0.0100 |" in text.splitlines()
    assert "smallest after epoch 7 of 20. At the end, it was 5.0 times" in text
    assert "With 20 latents, unseen faces have a larger error than training faces" in text
    assert "From 900 pictures of 100 people, the network" in text
    assert "With 20 and 21 latents, unseen" in answers(a_summary(), latents=2)["Training"]
    alone = answers(a_summary() | {"people": 1})["Training"]
    assert "900 pictures of one person (as far as the folders say), the network" in alone


@pytest.mark.parametrize(
    ("change", "rise", "said"),
    [
        (-0.01, 0.0, "was still falling, so more epochs would help"),
        (0.01, 0.01, "has risen by 0.01 since epoch 7, so fewer epochs would be better"),
        (-0.01, 0.01, "has risen by 0.01 since epoch 7, so fewer epochs would be better"),
        (0.001, 0.001, "changed only by the noise"),
    ],
)
def test_the_end_of_the_training_is_judged_by_its_noise(
    change: float, rise: float, said: str
) -> None:
    summary = a_summary()
    summary["late"][20] |= {"difference": change, "rise": rise}
    assert said in answers(summary)["Training"]


@pytest.mark.parametrize("difference", [0.001, 0.003, -0.003])
def test_errors_within_the_noise_are_called_so(difference: float) -> None:
    summary = a_summary()
    summary["models"][20]["gap"] = {"difference": difference, "error": 0.001}
    text = answers(summary)["Training"]
    assert ("the two errors differ only by the noise" in text) == (abs(difference) < 0.002)
    assert ("unseen faces have a larger error" in text) == (difference > 0.002)
    assert ("unseen faces have a smaller error" in text) == (difference < -0.002)


@pytest.mark.parametrize("question", ["HW5 (1), recovered", "HW5 (2), recovered"])
def test_the_sentences_on_recovered_faces_follow_the_numbers(question: str) -> None:
    summary = a_summary()
    text = answers(summary)[question]
    assert "20 pictures of people who are not in the training pictures: 10 different people" in text
    assert "are happy, 10 different people are angry. Together, they are 20 people." in text
    assert "| 20 | 0.0020 | 0.0100 | 0.800 | 0.500 | 20.0 |" in text.splitlines()
    assert "is 0.500 with 20 latents" in text
    assert "leaves a squared error of 0.0400" in text
    assert "latents leave 0.0200 (L = 20)." in text
    assert "the error is smaller than that of the mean face, so something of an unseen face" in text
    assert "who this is" in text
    alone = answers(summary | {"several": False})[question]
    assert "(happy and angry) that are not among the training pictures." in alone
    assert "the detail that the training pictures do not show" in alone
    worse = summary["models"][20] | {"ssim_behind": {"difference": -0.1, "error": 0.01}}
    models = {20: worse, 30: summary["models"][20] | {"unseen_ssim": 0.6}}
    late = dict.fromkeys(models, summary["late"][20])
    both = sections(ANSWERS["faces_ae"], summary | {"models": models, "late": late})
    assert "best with 30 latents." in both["HW5 (1), recovered"]
    tied = answers(summary, latents=2)[question]
    assert "SSIMs of unseen faces with 20 and 21 latents differ only by the noise." in tied
    summary["models"][20]["against_mean_face"]["difference"] = 0.0
    for several in (True, False):
        text = answers(summary | {"several": several})[question]
        assert "none of them recovers an unseen face" in text
        assert "something of an unseen face" not in text


@pytest.mark.parametrize("question", ["HW5 (1), clusters", "HW5 (2), clusters"])
def test_the_table_of_clusters_has_the_numbers(question: str) -> None:
    text = answers(a_summary())[question]
    row = "| 20 | 0.010 | -0.010 to 0.020 | 0.300 | 80.0% | 60.0% | 80 of 100 | 50.0% | 1e-09 |"
    assert row in text.splitlines()
    assert "one person left out" in text
    assert "names the expression of 15 of them with 20 latents." in text
    summary = a_summary()
    found = summary["models"][20]["clusters"]
    del found["silhouette_of_people"]
    found["left_out"] = "picture"
    text = answers(summary)[question]
    assert row.replace("0.300", "-") in text.splitlines()
    assert "one picture left out" in text


@pytest.mark.parametrize("question", ["HW5 (1), clusters", "HW5 (2), clusters"])
@pytest.mark.parametrize("silhouette", [0.02, 0.021])
@pytest.mark.parametrize("p", [0.01, 0.0099])
@pytest.mark.parametrize("plane_p", [0.5, 0.001])
def test_the_sentences_on_clusters_follow_the_numbers(
    silhouette: float, p: float, plane_p: float, question: str
) -> None:
    text = answers(with_clusters(silhouette=silhouette, p=p, plane_p=plane_p))[question]
    assert ("no closer to each other than if" in text) == (silhouette <= 0.02)
    assert ("the latents contain it" in text) == (p < 0.01)
    assert ("even in the PCA plane" in text) == (p < 0.01 and plane_p < 0.01)
    assert "places faces by person" in text


def test_with_more_networks_a_probe_must_be_surer() -> None:
    summary = with_clusters(p=0.004, silhouette=0.5)
    text = answers(summary, latents=2)["HW5 (1), clusters"]
    assert "With 20 and 21 latents, a linear probe predicts" in text
    assert "does not predict" in answers(summary, latents=3)["HW5 (1), clusters"]


def test_the_loss_s_sentences_follow_the_options() -> None:
    text = answers(a_summary())["Loss"]
    assert "This run used the loss of the slides" in text
    assert "900 per batch, and the KL was 1.50 nats per latent" in text
    assert "| 20 | 900 | 900 | 5.00 | 0.50 (epoch 4) | 1.50 |" in text
    assert "After its lowest value, the KL rises with 20 latents" in text
    summary = a_summary()
    summary["lowest_kl"][20]["rise"] = 0.1
    assert "the KL does not rise beyond the noise." in answers(summary)["Loss"]
    text = answers(a_summary() | {"variant": "elbo"})["Loss"]
    assert "This run used the loss of the bound" in text
    assert "900 per image, and the KL was 1.50 nats per image" in text


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an .npz of three people, with four pictures of each in each of two expressions."""
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    images = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3)).astype(np.uint8)
    np.savez(
        path,
        data=images,
        labels=np.arange(24) % 2,
        label_names=np.array(["happy", "angry"]),
        subjects=np.array(["a", "b", "c"])[np.arange(24) // 8],
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("mode", ANSWERS)
def test_a_run_answers_everything_and_goes_on_where_it_ended(
    mode: str, portraits: Path, tmp_path: Path
) -> None:
    line = f"{portraits} {mode} {tmp_path}/a --latents 4 --snapshots 1 --batch-size 8"
    assert run(f"{line} --epochs 1") == 0
    assert run(f"{line} --epochs 2") == 0
    assert run(f"{line} --epochs 2".replace("/a ", "/b ")) == 0
    for path in (tmp_path / "b").iterdir():
        if path.suffix != ".state":
            assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes(), path.name
    asked, answered = (
        re.findall("^## (.*)$", path.read_text(), re.MULTILINE)
        for path in (ANSWERS[mode], tmp_path / "b" / "answers.md")
    )
    assert answered == ["This run", *asked]
    found = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert (found["people"], found["unseen_people"]) == (1, 2)
    own = "unpooling.png" if mode == "faces_ae" else "terms.png"
    assert {"recovered.png", "latents_4.png", "course_4.png", "losses.png", own} <= {
        path.name for path in (tmp_path / "b").iterdir()
    }


def test_describe_only_draws_the_feature_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(f"nothing faces_ae {tmp_path}/out --describe")
    assert not ended.value.code
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["feature_maps.md", "feature_maps.png"]
    text = (tmp_path / "out" / "feature_maps.md").read_text()
    assert text.startswith("| layer | input 128 x 128 | input 224 x 224 |\n|---|---|---|\n")
    assert text.endswith("| decoder, block 7 | 128 x 128 x 3 | 128 x 128 x 3 |\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent faces_ae out", "nothing there"),
        ("DATA faces_vae out --expressions happy sad", "0 of 'sad'"),
        ("DATA faces_ae out --expressions happy", "--expressions"),
        ("DATA faces_ae out --latents 1", "Invalid value for '--latents'"),
        ("DATA faces_ae out --latents", "requires an argument"),
        ("DATA faces_vae out --describe", "--describe"),
        ("DATA faces_ae out --describe --latents -3", "--latents"),
        ("DATA faces_ae out --seed 4294967296", "Invalid value for '--seed'"),
        ("DATA faces_ae out --cache names.npz", "cannot be written"),
        ("DATA faces_vae names.npz/out", "cannot be written"),
        ("DATA faces_ae out --variant resnet", "--variant"),
        ("DATA faces_vae out --loss bce", "--loss"),
        ("DATA faces_ae out --snapshots x", "--snapshots"),
        ("DATA faces_ae out --held-out 0", "Invalid value for '--held-out'"),
        ("bad.npz faces_ae out", "no 'labels'"),
        ("names.npz faces_ae out", "'labels' without a name"),
        ("DATA faces_ae", "no OUT_DIR"),
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
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez("bad.npz", data=images)
    np.savez("names.npz", data=images, labels=[0, 1, 5], label_names=["happy", "angry"])
    assert message in refusal(line.replace("DATA", str(portraits)), capsys)
    assert not list(Path().glob("out/*.json"))
