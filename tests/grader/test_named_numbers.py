"""Named numbers that students hand in, in any usual form."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assessment.marking import out_of_bounds
from grader.errors import UserError
from grader.judging import Number
from grader.named_numbers import read_numbers


def read(tmp_path: Path, name: str, content: str | bytes) -> dict[str, float]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_numbers(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '{"loss": 1.5, "test": {"accuracy": 1}}', {"loss": 1.5, "test.accuracy": 1}),
        ("a.json", '\ufeff{"a": 1, "b": true, "c": "2", "d": null}', {"a": 1}),
        ("a.json", '{"a": NaN, "b": Infinity, "c": 1e999, "d": 2}', {"d": 2}),
        ("a.csv", "name,value\nloss,1.5\nacc,0.5\n", {"loss": 1.5, "acc": 0.5}),
        ("a.csv", "loss;1.5\nacc;0.5\n", {"loss": 1.5, "acc": 0.5}),
        ("a.csv", "loss,acc\n1.5,0.5\n", {"loss": 1.5, "acc": 0.5}),
        ("a.csv", "acc,0\nloss,1\n", {"acc": 0, "loss": 1}),
        ("a.csv", "loss , 1.5\n\nacc,many\n", {"loss": 1.5}),
        ("a.csv", "loss,1.5\n".encode("utf-16"), {"loss": 1.5}),
    ],
)
def test_usual_forms_are_read(
    tmp_path: Path, name: str, content: str | bytes, expected: dict[str, float]
) -> None:
    assert read(tmp_path, name, content) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "[1, 2]"),
        ("a.json", "{"),
        ("a.json", "[" * 99_999),
        ("a.csv", "x"),
        ("a.csv", ""),
    ],
)
def test_the_rest_is_refused_in_one_line(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, name, content)
    assert "\n" not in str(error.value)


@given(content=st.binary(max_size=200), name=st.sampled_from(["a.json", "a.csv"]))
def test_any_bytes_are_read_or_refused(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        found = read(tmp_path_factory.mktemp("numbers"), name, content)
    except UserError:
        return
    assert all(math.isfinite(value) for value in found.values())


@given(numbers=st.dictionaries(st.text(min_size=1), st.floats(-1e9, 1e9), min_size=1))
def test_what_is_written_is_read(
    numbers: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    assert read(folder, "a.json", json.dumps(numbers)) == pytest.approx(numbers)


def number(**settings: float) -> Number:
    return Number.model_validate(
        {"name": "n", "title": "n", "points": 1, "artefact": "a.json", **settings}
    )


@pytest.mark.parametrize(
    ("settings", "right", "wrong"),
    [
        ({"equals": 2, "tolerance": 0.1}, [2, 2.1, 1.9], [2.2, -2]),
        ({"at_least": 0.9}, [0.9, 1], [0.89]),
        ({"at_most": 3}, [3, -9], [3.1]),
        ({"at_least": 1, "at_most": 2}, [1, 2], [0, 3]),
    ],
)
def test_bounds(settings: dict[str, float], right: list[float], wrong: list[float]) -> None:
    assert [out_of_bounds(value, number(**settings)) for value in right] == [None] * len(right)
    assert all(out_of_bounds(value, number(**settings)) for value in wrong)
