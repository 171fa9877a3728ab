import io
import re
from pathlib import Path

import pypdf
import pytest
from markdown_it.token import Token
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

import studies
from reports.answers import READER, Picture, Question
from reports.answers_pdf import answers_pdf
from studies.shared.runner import write_picture

AUTHORS = ["Ada Lovelace 012345678", "Dana כהן 87654321"]
ANSWER = r"""The bound is $\log P(x) \geq E_q[\log P(x|z)]$, and 1 < 2 & **so** on: `z.png`.

1. First.

2. Second.

| class | accuracy | what it means, in more words than fit into a column of this table |
|---|---|---|
"""


def pages(pdf: bytes) -> list[pypdf.PageObject]:
    return list(pypdf.PdfReader(io.BytesIO(pdf)).pages)


def a_question(answer: str, folder: Path, size: tuple[float, float] = (4, 3)) -> Question:
    write_picture(Figure(figsize=size), folder / "p.png")
    pictures = [Picture(folder / "p.png", "The losses & more")]
    return Question("Q1", "What is *it*?", ["losses.bce"], pictures, answer)


def test_tables_pictures_and_formulas_are_where_they_belong(tmp_path: Path) -> None:
    rows = "".join(f"| class {n} | {n} % | {'word ' * 30}|\n" for n in range(40))
    question = a_question(ANSWER + rows, tmp_path)
    found = pages(answers_pdf("A course", AUTHORS, [("Part 1", [question])]))
    texts = [page.extract_text() for page in found]
    assert len(found) > 1
    for number, text in enumerate(texts, 1):
        assert "A course" in text
        assert "Ada Lovelace 012345678" in text
        assert f"page {number}" in text
        assert "class\naccuracy" in text, "the head of the table is repeated"
    order = ["Part 1", "Q1", "What is it?", "The losses & more", "1 < 2 & so on: z.png"]
    places = [texts[0].index(part) for part in order]
    assert places == sorted(places)
    assert "$" not in "".join(texts)
    assert len(found[0].images) == 2, "the picture, and the formula"
    found_rows = re.findall(r"(\d+) %", " ".join(texts))
    assert found_rows == [str(n) for n in range(40)]


@pytest.mark.parametrize("size", [(30, 2), (2, 30)])
def test_a_picture_larger_than_a_page_becomes_smaller(
    size: tuple[float, float], tmp_path: Path
) -> None:
    question = a_question("It is.", tmp_path, size)
    assert len(pages(answers_pdf("A course", AUTHORS, [("Part", [question])]))) <= 2


def test_a_table_of_many_columns_fits_the_page(tmp_path: Path) -> None:
    row = f"| {' | '.join(['unbreakable'] * 14)} |\n"
    question = a_question(f"{row}{'|---' * 14}|\n{row}", tmp_path)
    (page,) = pages(answers_pdf("A course", AUTHORS, [("Part", [question])]))
    right: list[float] = []
    page.extract_text(visitor_text=lambda _text, _c, matrix, *_: right.append(matrix[4]))
    assert max(right) < float(page.mediabox.width)


def test_every_formula_of_the_studies_can_be_drawn() -> None:
    parser = MathTextParser("path")
    templates = Path(studies.__file__).parent.glob("*/*.md")
    found = [formula for path in templates for formula in formulas(READER.parse(path.read_text()))]
    assert len(found) > 20
    for formula in found:
        parser.parse(f"${formula}$")


def formulas(tokens: list[Token]) -> list[str]:
    inside = [formula for token in tokens for formula in formulas(token.children or [])]
    return inside + [token.content for token in tokens if token.type == "formula"]


def test_the_same_answers_give_the_same_bytes(tmp_path: Path) -> None:
    parts = [("Part 1", [a_question(ANSWER + "| 1 | 2 | 3 |\n", tmp_path)])]
    assert answers_pdf("A course", AUTHORS, parts) == answers_pdf("A course", AUTHORS, parts)
