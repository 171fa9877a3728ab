import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import FOLDER, Assignment, read_assignment
from grader.errors import UserError
from tests.mutations import damaged

A3 = FOLDER / "a3.toml"


def test_a3_is_what_the_course_asks_for() -> None:
    a3 = read_assignment("a3")
    assert [stage.name for stage in a3.stage] == ["train", "reconstruct", "classify"]
    assert a3.stage_named("train").limits.seconds == 7200
    assert a3.stage_named("train").limits.remark_seconds == 3600
    assert a3.trained_artefacts() == ["vae.pth", "gmm_params.pkl"]
    assert a3.artefact["vae.pth"].numbers_allowed == 20_000_000
    assert sum(m.points for m in a3.metric) + sum(m.points for m in a3.manual) == 100
    assert a3.late.days == [0.05, 0.10, 0.15]
    assert read_assignment(str(A3)) == a3


def changed(text: str, old: str, new: str, tmp_path: Path) -> Path:
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('program = "vae.py"', "", "no key program"),
        ('program = "vae.py"', "program = 3", "program = 3"),
        ('program = "vae.py"', 'program = "../vae.py"', "program"),
        ('program = "vae.py"', 'programme = "vae.py"', "programme"),
        ("seconds = 7200", "seconds = -1", "stage.0.limits.seconds = -1"),
        ("seconds = 7200", "seconds = inf", "stage.0.limits.seconds = inf"),
        ("seconds = 7200", 'seconds = "long"', "stage.0.limits.seconds"),
        ("{train}", "{trian}", "'trian'"),
        ('needs = ["vae.pth"]', 'needs = ["vae.pt"]', "'vae.pt'"),
        ('kind = "images"', 'kind = "pictures"', "artefact.vae_reconstructed.npz.kind"),
        ('of = "recon"', 'of = "recons"', "'recons'"),
        ('of = "recon"', "", "a data set under 'of'"),
        ('column = "Predicted_Label"', "", "a 'column'"),
        ("ssim = 0.5", "ssim = 0.6", "weights that add up to 1"),
        ("ssim = 0.5", "psnr = 0.5", "'psnr'"),
        ('kind = "noise"', 'kind = "nose"', "probe.0.kind"),
        ('name = "classify"', 'name = "reconstruct"', "a name of its own"),
        ("days = [0.05", "days = [5", "late.days.0 = 5"),
        ("[rules]", "[rules", "not TOML"),
        ('allowed = [\n    "numpy"', 'allowed = [\n    "num py"', "rules.allowed.0"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_the_key_and_what_was_expected(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    path = changed(A3.read_text(), old, new, tmp_path)
    with pytest.raises(UserError) as error:
        read_assignment(str(path))
    message = str(error.value)
    found = re.match(rf"{re.escape(str(path))}:(\d+: | )", message)
    assert found
    if found[1] != " ":
        lines = path.read_text().splitlines()
        shown = (new or old).splitlines()[0]
        place = lines[int(found[1][:-2]) - 1]
        assert shown in place or place.startswith("["), (place, shown)
    assert key in message
    assert "; expected " in message
    assert "\n" not in message


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"one of: .*a3"):
        read_assignment("a4")


@given(content=damaged(A3.read_bytes()))
def test_a_damaged_file_is_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.toml"
    path.write_bytes(content)
    try:
        read_assignment(str(path))
    except UserError as error:
        assert str(error).startswith(f"{path}:")


@given(data=st.data())
def test_any_value_in_place_of_another_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content: Any = copy.deepcopy(tomllib.loads(A3.read_text()))
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    place[key] = data.draw(scalars | st.lists(scalars, max_size=2))
    try:
        Assignment.model_validate(content)
    except ValueError:
        return
