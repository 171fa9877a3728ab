"""The documentation's site: formulas, and how it opens from disk and on a phone."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from docs import figures_of_theory, mathml

pytest.importorskip("mkdocs", reason="mkdocs is not installed")
markdown = pytest.importorskip("markdown")
ROOT = Path(__file__).parents[1]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
OPTIONS = {"pymdownx.arithmatex": {"generic": True}}


class Prose(HTMLParser):
    """Collects the text of a page that is no code and no formula."""

    hidden = ("code", "pre", "script", "style", "math")

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.text = 0, ""

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.inside += tag in self.hidden

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag in self.hidden

    def handle_data(self, data: str) -> None:
        self.text += "" if self.inside else data


def prose(page: str) -> str:
    parser = Prose()
    parser.feed(page)
    return parser.text


def formulas(page: str) -> list[ElementTree.Element]:
    """Return the formulas of a page; each is well-formed XML."""
    return [
        ElementTree.fromstring(part) for part in re.findall(r"<math.*?</math>", page, re.DOTALL)
    ]


def rendered(text: str) -> str:
    html = markdown.markdown(text, extensions=["tables", *OPTIONS], extension_configs=OPTIONS)
    return mathml.on_page_content(html)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("with $a\n= b$ over two lines", 1),
        ("| a | b |\n|---|---|\n| $x_1 < 2$ | $q(z \\mid x)$ |", 2),
        ("- an item\n\n    $$\n    \\frac{a}{b}\n    $$\n\n    and more\n- another $c$", 2),
    ],
)
def test_formulas_of_two_lines_in_tables_and_in_lists_are_converted(text: str, count: int) -> None:
    page = rendered(text)
    assert len(formulas(page)) == count
    assert not set("$\\") & set(prose(page))


def test_a_formula_in_a_list_does_not_end_the_list() -> None:
    assert rendered("- an item\n\n    $$\n    a\n    $$\n- another").count("<ul>") == 1


def test_dollars_in_code_stay() -> None:
    assert prose(rendered("`$OUT` and `$HOME`")) == " and "
    assert "$OUT" in rendered("    echo $OUT $HOME")


def test_functions_have_space_before_their_argument() -> None:
    (log,) = (part for part in formulas(rendered(r"$\log p$"))[0].iter() if part.text == "log")
    assert log.attrib["rspace"] != "0"


def test_every_formula_of_the_site_is_valid(site: Path) -> None:
    found = 0
    for path in site.glob("*.html"):
        page = path.read_text()
        assert not re.findall(r"\$|\\[a-z]+", prose(page)), path.name
        for formula in formulas(page):
            found += 1
            parts = list(formula.iter())
            assert not any(part.tag.endswith("merror") for part in parts), path.name
            # A browser knows lengths, not the names of TeX's spaces.
            assert not any("mathspace" in part.get("width", "") for part in parts), path.name
            assert not any("\\" in (part.text or "") for part in parts), path.name
    assert found > 20


def test_the_theory_shows_each_figure_with_its_command() -> None:
    theory = (ROOT / "docs" / "theory.md").read_text()
    for draw in figures_of_theory.FIGURES:
        name = f"{draw.__name__}.png"
        assert f"](theory/{name})" in theory
        assert f"`python -m docs.figures_of_theory docs/theory {draw.__name__}`" in theory
        assert (ROOT / "docs" / "theory" / name).stat().st_size < 150_000


def test_figures_without_a_training_are_the_same_each_time(tmp_path: Path) -> None:
    drawn = []
    for run in ("first", "second"):
        figures_of_theory.main(tmp_path / run, ["devices"])
        drawn.append((tmp_path / run / "devices.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_search_works_in_pages_that_are_opened_from_disk(site: Path, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((site / "index.html").as_uri())
    page.locator("[data-md-component=search-query]").click()
    page.keyboard.type("responsibilities")
    page.locator(".md-search-result__item a").first.click()
    page.get_by_role("article").get_by_text("responsibilities").first.wait_for()
    page.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(site: Path, chromium: Any, colours: str) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844}, color_scheme=colours)
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        scheme = page.get_attribute("body", "data-md-color-scheme")
        assert scheme == {"light": "default", "dark": "slate"}[colours]
    page.close()
