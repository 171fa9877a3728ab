import re
from pathlib import Path

import pytest

import studies
from studies.shared.showing import source

# Written by hand from the assignments' texts: every question that they ask.
ASKED = {
    "beta_vae/answers.md": ("Q1.1", "Q1.2", "Q1.3", "Q1.4"),
    "cvae/answers.md": ("Q2.1", "Q2.2", "Q2.3"),
    "pokemon/answers.md": ("Bonus.1", "Bonus.2"),
    "segment/answers.md": ("Q3.1", "Q3.2", "Q4.1", "Q4.2", "Q4.3"),
    "latent_study/answers.md": (
        *("1", "2a", "2b", "2c", "3a", "3b", "3c", "4a", "4b", "4c"),
        *("5a", "5b", "6a", "6b", "6c", "6d"),
    ),
    "celeba/answers.md": (
        *("1a", "1b", "1c", "2a", "2b", "2c", "3a", "3b"),
        *("4a", "4b", "4c", "4d"),
        *("5b, curves", "5b, reconstructions"),
        *("5c, curves", "5c, reconstructions", "5c, dimension", "5c, blur"),
        *("6, few latents", "6, many latents", "6, difference", "7"),
    ),
    "faces/ae_answers.md": (
        *("Encoder", "Decoder", "Training"),
        *("HW5 (1), recovered", "HW5 (1), clusters"),
    ),
    "faces/vae_answers.md": ("Loss", "Training", "HW5 (2), recovered", "HW5 (2), clusters"),
}


@pytest.mark.parametrize("name", ASKED)
def test_every_question_is_answered_by_its_study(name: str) -> None:
    text = (Path(studies.__file__).parent / name).read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == ASKED[name]


@pytest.mark.parametrize("name", ASKED)
def test_the_code_of_a_question_exists_and_is_read_in_a_minute(name: str) -> None:
    text = (Path(studies.__file__).parent / name).read_text(encoding="utf-8")
    listings = re.findall(r"<!-- code: (.*?) -->", text, re.DOTALL)
    assert listings
    for names in listings:
        lines = sum(source(each).count("\n") - 1 for each in names.split())  # below the file's name
        assert 10 <= lines <= 40, f"{lines} lines: {names}"


def test_the_source_of_a_method_starts_at_the_margin_under_the_name_of_its_file() -> None:
    first, *lines = source("studies.shared.networks.Vae.encode").splitlines()
    assert re.fullmatch(r"# studies/shared/networks.py, line \d+", first)
    assert lines[0].startswith("def encode(")


@pytest.mark.parametrize("name", ["studies.absent.function", "losses.absent"])
def test_code_that_does_not_exist_is_no_code(name: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        source(name)
