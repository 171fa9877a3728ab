"""Markdown that a student wrote, as HTML that can do nothing: no script, no link, no picture."""

import html

from markdown_it import MarkdownIt

MOST_ROWS = 300

# Tags in the text are shown as text, and nothing refers to another place.
READER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
READER.disable(["link", "image", "autolink", "reference"])


def to_html(text: str) -> str:
    """Return Markdown as HTML; formulas stay as they were written.

    A text with more than `MOST_ROWS` rows of tables, which take long, stays as it is, and so does
    one that is nested too deep.
    """
    try:
        if sum("|" in line for line in text.splitlines()) <= MOST_ROWS:
            return str(READER.render(text))
    except RecursionError:
        pass
    return f"<pre>{html.escape(text)}</pre>"
