"""What the notebook of a course shows of a question: the code that matters, and the pictures."""

import inspect
import pkgutil
import textwrap

from IPython.display import Image, Markdown, display


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
    text = "\n\n".join(map(source, names))
    display({"text/markdown": f"```python\n{text}```", "text/plain": text}, raw=True)


def show_picture(path: str, caption: str) -> None:
    display(Image(path, alt=caption), Markdown(f"*{caption}*"))
