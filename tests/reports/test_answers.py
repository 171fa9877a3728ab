from pathlib import Path

import pytest

from reports.answers import Picture, Question, read_questions

TEXT = r"""# A study

## Q1

*What is shown?*

![Losses, by epoch](losses.png)

![Samples](<my%20image_samples.png>)

<!-- code: losses.bce losses.mse -->

It is a $\frac{1}{2}\,x_1$ and *that*.

| a | b |
|---|---|
| 1 | 2 |

## Q2

No question, no picture, but a list:

- one

- ![two](two.png) and more
"""


def test_an_answer_is_divided_into_its_question_pictures_code_and_text(tmp_path: Path) -> None:
    (tmp_path / "answers.md").write_text(TEXT)
    first, second = read_questions(tmp_path / "answers.md")
    assert first == Question(
        "Q1",
        "What is shown?",
        ["losses.bce", "losses.mse"],
        [
            Picture(tmp_path / "losses.png", "Losses, by epoch"),
            Picture(tmp_path / "my image_samples.png", "Samples"),
        ],
        "It is a $\\frac{1}{2}\\,x_1$ and *that*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    )
    assert (second.heading, second.asked, second.code, second.pictures) == ("Q2", "", [], [])
    assert "- ![two](two.png) and more" in second.answer


@pytest.mark.parametrize("text", ["", "# Only a title\n"])
def test_no_questions_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "answers.md").write_text(text)
    assert read_questions(tmp_path / "answers.md") == []
