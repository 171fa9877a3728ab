"""What the notebook of a course shows of a question: the code that matters, and the pictures."""

import inspect
import pkgutil
import textwrap
from pathlib import Path

from IPython.display import Code, Image, Markdown, display


def source(name: str) -> str:
    """Return the source of `module.function`, or of a class or method, under its file's name."""
    thing = pkgutil.resolve_name(name)
    lines, first = inspect.getsourcelines(thing)
    module = inspect.getmodule(thing)
    assert module is not None  # what has lines of source has a module
    place = module.__name__.replace(".", "/")
    return f"# {place}.py, line {first}\n{textwrap.dedent(''.join(lines)).rstrip()}\n"


def show_code(*names: str) -> None:
    """Show the source of functions, classes and methods, from the files that this notebook runs."""
    display(Code("\n\n".join(map(source, names)), language="python"))


def show_picture(path: str, caption: str) -> None:
    display(Image(str(Path(path)), alt=caption), Markdown(f"*{caption}*"))
