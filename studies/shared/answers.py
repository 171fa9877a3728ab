"""Fill in the template of a study's answers with the numbers of a run.

A template is Markdown in Jinja: a section for each question of the assignment. The summary of the
run is its data, and the numbers decide which sentences it has. It can include other templates of
its folder. What the run found wrong with itself stands before the first answer, and each answer of
a quick run says that it is one.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import jinja2

from studies.shared.checks import also, count

# Not in a file, because the notebook has only the templates of its own studies.
OPENING = """
## This run

{% if checks.own_steps and checks.steps >= checks.own_steps %}
Each network was trained for {{ checks.steps | form(",") }} steps; the task's own setting has
{{ checks.own_steps | form(",") }}.
{% endif %}
{% if checks.problems %}
Before anything else, this is what is wrong with this run:

{% for problem in checks.problems %}
- {{ problem }}

{% endfor %}
{% if checks.passed %}
No problem was found with: {{ checks.passed | join("; ") }}.
{% endif %}
{% else %}
Its checks found nothing wrong: {{ checks.passed | join("; ") }}.
{% endif %}
In all answers, two numbers differ only if their difference exceeds two standard errors, or the
range of repeated runs.
{% if checks.own_steps %}
Each network was trained once, so the differences between seeds are not known.
{% endif %}

"""
QUICK = """
**Quick run:** {{ checks.steps | form(",") }} of {{ checks.own_steps | form(",") }} steps for each
network. A full run may answer differently.
"""
QUICK_AS_FULL = """
**Quick run:** for this study, it is the same as a full run.
"""


def listed(values: Mapping[Any, float], form: str = ".2f") -> str:
    """List numbers with their names, for a sentence."""
    return ", ".join(f"{name}: {value:{form}}" for name, value in values.items())


ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,  # so that the text after an include starts on a new line
)
ENVIRONMENT.globals |= {"mean": fmean, "count": count}
ENVIRONMENT.filters |= {"form": format, "listed": listed, "also": also}


def answer(template: Path, summary: Mapping[str, Any]) -> str:
    """Return the answers as Markdown, after what the run says about itself."""
    opening = paragraphs(ENVIRONMENT.from_string(OPENING).render(summary))
    answers = paragraphs(render(template, summary))
    if summary["checks"]["preset"] == "quick":
        note = QUICK if summary["checks"]["own_steps"] else QUICK_AS_FULL
        answers = with_note(answers, joined(ENVIRONMENT.from_string(note).render(summary)))
    return "\n\n".join([*opening, *answers]) + "\n"


def fill(template: Path, data: Mapping[str, Any]) -> str:
    """Return a template as Markdown, with each paragraph on one line."""
    return "\n\n".join(paragraphs(render(template, data))) + "\n"


def render(template: Path, data: Mapping[str, Any]) -> str:
    return environment(template.parent).get_template(template.name).render(data)


@cache
def environment(folder: Path) -> jinja2.Environment:
    """Return the environment of a folder's templates, which keeps those that it has compiled."""
    return ENVIRONMENT.overlay(loader=jinja2.FileSystemLoader(folder))


def paragraphs(text: str) -> list[str]:
    """Divide Markdown at empty lines, and put each paragraph on one line."""
    return [joined(block) for block in text.strip().split("\n\n") if block.strip()]


def with_note(answers: list[str], note: str) -> list[str]:
    """Add a note below the question of each answer."""
    return [
        part
        for paragraph in answers
        for part in ([paragraph, note] if is_question(paragraph) else [paragraph])
    ]


def is_question(paragraph: str) -> bool:
    return paragraph.startswith("*") and paragraph.endswith("?*")


def joined(block: str) -> str:
    """Join the lines of a paragraph; leave the rows of a table on their lines."""
    lines = block.strip().splitlines()
    return "\n".join(lines) if block.lstrip().startswith("|") else " ".join(map(str.strip, lines))
