"""The answers of a run, question by question: read from the answers.md of a study.

Below the line that asks a question, a template names the pictures that answer it, as images, and
the functions, in a comment: `<!-- code: losses.kl_divergence losses.bce -->`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

CODE = "<!-- code:"


@dataclass(frozen=True)
class Picture:
    """A picture of a run, and what it shows."""

    path: Path
    caption: str


@dataclass
class Question:
    """A question, with what answers it. `code`: names of functions. `answer`: Markdown."""

    heading: str
    asked: str = ""
    code: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    answer: str = ""


def formula(state: StateInline, silent: bool) -> bool:
    """Read a formula between dollar signs, in which a backslash is no escape."""
    end = state.src.find("$", state.pos + 1)
    if state.src[state.pos] != "$" or end < 0:
        return False
    if not silent:
        text = state.src[state.pos + 1 : end]
        state.push("formula", "", 0).content = text.replace("\n", " ")
    state.pos = end + 1
    return True


READER = MarkdownIt("commonmark").enable("table")
READER.inline.ruler.before("escape", "formula", formula)


def read_questions(path: Path) -> list[Question]:
    """Return the questions in an answers.md, each of which has a heading, in its order."""
    text = path.read_text(encoding="utf-8")
    tokens = READER.parse(text)
    lines = text.splitlines()
    found: list[Question] = []
    for place, token in enumerate(tokens):
        if token.level or not token.map or token.tag == "h1":
            continue
        if token.tag == "h2":
            found.append(Question(tokens[place + 1].content))
            continue
        question = found[-1]
        inside = tokens[place + 1].children or [] if token.nesting else []
        if [child.type for child in inside] == ["image"]:
            name, caption = unquote(str(inside[0].attrs["src"])), inside[0].content
            question.pictures.append(Picture(path.parent / name, caption))
        elif token.content.startswith(CODE):
            question.code += token.content.removeprefix(CODE).split("-->")[0].split()
        elif not question.asked and is_emphasised(inside):
            question.asked = inside[1].content
        else:
            question.answer += "\n".join(lines[slice(*token.map)]).strip() + "\n\n"
    return found


def is_emphasised(inside: list[Token]) -> bool:
    return [child.type for child in inside] == ["em_open", "text", "em_close"]
