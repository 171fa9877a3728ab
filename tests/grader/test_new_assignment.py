"""A new assignment's file, made from a few answers: whatever they are, it can be read and used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment import read_assignment
from grader.errors import UserError, printable
from grader.new_assignment import assignment_text, check_answers, write_assignment


@given(
    title=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30),
    program=st.sampled_from(["*.ipynb", "hw.ipynb", "work.py"]),
    run=st.booleans(),
    data=st.booleans(),
    functions=st.lists(st.sampled_from(["f", "Vae", "_loss", "beta_loss"]), unique=True),
    questions=st.integers(0, 9),
)
def test_any_answers_make_a_file_that_can_be_read(
    title: str,
    program: str,
    run: bool,
    data: bool,
    functions: list[str],
    questions: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    try:
        check_answers("hw1", program, functions, questions)
    except UserError:
        return
    path = tmp_path_factory.mktemp("new") / "hw1.toml"
    content = assignment_text(
        "hw1", title, program, run=run, data=data, functions=functions, questions=questions
    )
    write_assignment(path, content)
    task = read_assignment(str(path))
    assert task.title == printable(title)
    assert task.possible == pytest.approx(100, abs=1e-9)
    assert [test.call for test in task.test] == [[f"{name}(x)"] for name in functions]
    assert len(task.manual) == questions
    assert {stage.kind for stage in task.stage} >= ({"tests"} if functions else set())


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (("HW 1", "a.py", ["f"], 1), "the name 'HW 1'"),
        (("hw1", "../a.py", ["f"], 1), "the program '../a.py'"),
        (("hw1", "a.exe", ["f"], 1), "the program 'a.exe'"),
        (("hw1", "*.py", ["f"], 1), "the program '*.py'"),
        (("hw1", "a.py", ["class"], 1), "the function 'class'"),
        (("hw1", "a.py", ["_1"], 1), "the function '_1'"),
        (("hw1", "a.py", ["f()"], 1), "the function 'f()'"),
        (("hw1", "a.py", ["f", "F"], 1), "a function twice"),
        (("hw1", "a.py", [], 99), "99 questions"),
        (("hw1", "a.py", [], 0), "nothing to give points for"),
    ],
)
def test_answers_that_make_no_assignment_are_refused(
    answers: tuple[str, str, list[str], int], found: str
) -> None:
    with pytest.raises(UserError) as error:
        check_answers(*answers)
    assert found in str(error.value)


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "hw1.toml"
    path.write_text("mine")
    with pytest.raises(UserError, match="a name that is not taken"):
        write_assignment(path, "name = 'x'")
    assert path.read_text() == "mine"
