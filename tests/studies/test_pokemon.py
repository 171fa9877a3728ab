from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vae
from grader.errors import UserError
from studies.pokemon.dataset import TYPES, PokemonDataset
from studies.pokemon.study import ANSWERS, augment
from tests.studies.sections import sections

FILES = {"a_cat": "Fire", "dog": "Water", "owl": "Fire"}


def run(line: str) -> int:
    return vae.main(line.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a black square, on transparent or white, in three kinds of files."""
    root = tmp_path / "pokemon"
    (root / "images").mkdir(parents=True)
    square = np.full((120, 120, 4), (0, 0, 0, 0), np.uint8)
    square[40:80, 40:80] = (0, 0, 0, 255)
    picture = Image.fromarray(square, "RGBA")
    white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture.save(root / "images" / "a_cat.png")
    white.convert("RGB").save(root / "images" / "dog.jpg", quality=95)
    white.convert("RGB").quantize(4).save(root / "images" / "owl.png")
    lines = ["Name,Type1,Type2", *(f"{name},{kind}," for name, kind in FILES.items()), "egg,Bug,"]
    (root / "pokemon.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("rgb", [False, True])
def test_sprites_of_every_kind_of_file(folder: Path, rgb: bool) -> None:
    dataset = PokemonDataset(root=folder, rgb=rgb)
    assert dataset.names == [*FILES]  # there is no image of the egg
    for index, kind in enumerate(FILES.values()):
        image, one_hot = dataset[index]
        assert image.shape == (3 if rgb else 1, 60, 60)
        assert float(image[:, 22:38, 22:38].max()) < 0.05
        assert float(image[:, :16].min()) > 0.95
        assert one_hot.tolist() == dataset.type_to_one_hot[kind].tolist()
    assert len(dataset.type_to_one_hot) == len(TYPES) == 18
    assert torch.stack([*dataset.type_to_one_hot.values()]).sum(dim=0).tolist() == [1] * 18


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Name,Kind\na_cat,Fire\n", "the columns Name, Kind"),
        ("Name,Type1\na_cat,Cute\n", r"pokemon.csv: a_cat \(the type 'Cute'\)"),
        ("Name,Type1\nnobody,Fire\n", "none of the 1 images"),
        ("", "an empty file"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "pokemon.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        PokemonDataset(folder)
    with pytest.raises(UserError, match="cannot be read"):
        PokemonDataset(folder / "absent")


def test_augmentation_flips_shifts_and_colours_and_leaves_white_white() -> None:
    torch.manual_seed(0)
    images = torch.ones(200, 3, 60, 60)
    images[:, 0, 20:40, 20:30] = 0.4
    changed = augment(images)
    assert changed.shape == images.shape
    assert torch.equal(changed[:, 1:], images[:, 1:])
    marks = changed[:, 0, 30] < 1
    assert (marks.sum(dim=1) == 10).all()
    starts = marks.float().argmax(dim=1)
    assert {*starts.tolist()} == {*range(15, 26), *range(25, 36)}
    shades = changed[:, 0, 30].min(dim=1).values
    assert 0.25 < float(shades.min()) < 0.32
    assert 0.48 < float(shades.max()) < 0.53
    assert torch.equal(changed[:, :, :20], images[:, :, :20])


@pytest.mark.parametrize(
    ("mode", "beta", "options"),
    [
        ("pokemon", 0.2, "--epochs 2 --z-dim 4 --hidden-size 8"),
        pytest.param("pokemon_cnn", 0.1, "--epochs 1 --z-dim 4", marks=pytest.mark.slow),
    ],
)
def test_it_runs_on_what_demo_data_writes(
    mode: str, beta: float, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.demo_data.writers.CREATURES", 2)
    assert run(f"pokemon demo_data {tmp_path}/data") == 0
    for name in ("a", "b"):
        assert (
            run(f"{tmp_path}/data {mode} {tmp_path}/{name} {options} --types Fire --types Bug") == 0
        )
    names = {path.name for path in (tmp_path / "a").iterdir()}
    epochs = options.split()[1]
    assert names >= {
        f"{mode}_beta_{beta}_vae_{epochs}_epochs.pth",
        *("history.csv", "history_plain.csv", "summary.json", "answers.md"),
        *("samples.png", "reconstructions.png", "losses.png"),
    }
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    text = (tmp_path / "a" / "answers.md").read_text()
    assert [x[3:] for x in text.splitlines() if x.startswith("## ")] == [
        "This run",
        "Bonus.1",
        "Bonus.2",
    ]
    header = (tmp_path / "a" / "history.csv").read_text().splitlines()[0]
    assert "held_out_reconstruction" in header


def a_summary(training: float, augmented: float, plain: float, mse: float) -> dict[str, Any]:
    model = {
        "training_reconstruction": training,
        "held_out_reconstruction": augmented,
        "mse": mse,
        "against_pca": {"difference": mse - 0.02, "error": 0.001},
        "gap": {"difference": augmented - training, "error": 20.0},
        "sharpness_of_reconstructions": 0.3,
        "sharpness_of_samples": 0.2,
    }
    return {
        "unit": "nats",
        "images": 700,
        "held_out": 80,
        "types": {"Water": 100, "Flying": 3},
        "z_dim": 32,
        "network": "Vae",
        "held_out_shown": True,
        "parameters": 1000,
        "pca_mse": 0.02,
        "components_for_90_percent": 150,
        "augmented_less_plain": {"difference": augmented - plain, "error": 5.0},
        "augmented": model,
        "plain": model | {"held_out_reconstruction": plain},
    }


def test_the_sentences_follow_the_numbers() -> None:
    helped, harmed, same = (
        sections(ANSWERS, a_summary(*numbers))
        for numbers in ((400, 500, 600, 0.01), (490, 500, 400, 0.03), (490, 500, 501, 0.03))
    )
    assert "is 400 on 700 training images and 500 on 80 held-out images (+25%)" in helped["Bonus.1"]
    assert "knows its training images better" in helped["Bonus.1"]
    assert "does not show that the model memorises" in harmed["Bonus.1"]
    assert ", less than the 0.0200" in helped["Bonus.1"]
    assert "more than the 0.0200" in harmed["Bonus.1"]
    assert "the most common, Water, has 100 images; the rarest, Flying, has 3" in helped["Bonus.1"]
    assert "is 500 with them and 600 without them" in helped["Bonus.2"]
    assert "1.25 times the training error with them, and 1.50 times without" in helped["Bonus.2"]
    assert "copies helped." in helped["Bonus.2"]
    assert "did not help" in harmed["Bonus.2"]
    assert "no difference" in same["Bonus.2"]


def test_one_image_is_not_in_the_plural() -> None:
    numbers = {"held_out": 1, "types": {"Water": 100, "Flying": 1}}
    text = sections(ANSWERS, a_summary(400, 500, 600, 0.01) | numbers)["Bonus.1"]
    assert "on 1 held-out image (" in text
    assert "Flying, has 1 image." in text


def test_types_with_as_many_images_as_each_other() -> None:
    numbers = {"types": {"Water": 12, "Flying": 12}}
    text = sections(ANSWERS, a_summary(400, 500, 600, 0.01) | numbers)["Bonus.1"]
    assert "Each of the 2 types has 12 images." in text
    assert "rarest" not in text


def test_a_type_that_is_not_there_and_one_with_few_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{folder} pokemon {tmp_path}/out --types Ice") == 2
    assert "no image of type 'Ice'; expected --types from Fire, Water" in capsys.readouterr().err
    options = "--types Fire --epochs 1 --z-dim 1 --hidden-size 4"
    assert run(f"{folder} pokemon {tmp_path}/out {options}") == 0
    warning = "warning: too few images to learn what the type Water looks like: 1"
    assert warning in capsys.readouterr().out
