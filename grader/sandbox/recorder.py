"""Record what a Python program imports: a copy of this file runs when its interpreter starts.

The sandbox puts the copy on the program's path as `sitecustomize`, which Python imports before the
program. An audit hook (PEP 578) then writes a line to a pipe for each module that is loaded, once:

    by-program MODULE      imported by code that is neither Python's own nor installed
    by-library MODULE      imported by other code

The first line is `begin`, and `end` with a word that the program is not told is written when the
interpreter ends. A program that searches the interpreter's memory can still add or stop lines.
"""

import atexit
import os
import sys
from types import FrameType

VARIABLE = "VAE_GRADER_IMPORTS"  # the pipe's descriptor, device and inode, and the last word
BEGIN, END = "begin", "end"
BY_PROGRAM, BY_LIBRARY = "by-program", "by-library"
STANDARD = os.__file__.rpartition("/")[0]  # without pathlib, which takes long to import
IMPORTERS = ("<frozen importlib", "<frozen zipimport", f"{STANDARD}/importlib/")
SUFFIXES = (".py", ".pyc")


def library_folders() -> tuple[str, ...]:
    """Return the folders of Python and installed packages, longest first, each with a slash."""
    own = __file__.rpartition("/")[0]  # the program's folder is not on the path yet
    found = {STANDARD, *sys.path} - {"", own}
    return tuple(sorted((f"{folder}/" for folder in found), key=len, reverse=True))


def record(pipe: int, identity: tuple[int, int], last: str) -> None:
    """Write the imports of this interpreter to a pipe, as long as the descriptor is that pipe."""
    write, fstat = os.write, os.fstat  # which the program could replace
    libraries = library_folders()
    seen = set()

    def say(line: str) -> None:
        try:
            status = fstat(pipe)
            if (status.st_dev, status.st_ino) == identity:
                write(pipe, f"{line}\n".encode())
        except OSError:  # closed, perhaps by a program that becomes a daemon
            pass

    def module_of(path: str) -> str | None:
        """Return the module that a file of a library is."""
        for folder in libraries:
            if path.startswith(folder) and path.endswith(SUFFIXES):
                name = path[len(folder) :].rpartition(".")[0].replace("/", ".")
                return name.removesuffix(".__init__")
        return None

    def importer() -> str:
        """Return who imports: the first code on the stack that is not the import system's."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(IMPORTERS):
            frame = frame.f_back
        path = "" if frame is None else frame.f_code.co_filename
        return BY_LIBRARY if path.startswith((*libraries, "<frozen ")) else BY_PROGRAM

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "import":
            name = arguments[0]
        elif event == "exec":  # importlib.import_module raises no event of its own
            name = module_of(getattr(arguments[0], "co_filename", ""))
        else:
            return
        if isinstance(name, str) and name.isprintable() and len(name) <= 200:
            line = f"{importer()} {name}"
            if line not in seen:
                seen.add(line)
                say(line)

    say(BEGIN)
    atexit.register(say, f"{END} {last}")
    sys.addaudithook(hook)


if VARIABLE in os.environ:
    *numbers, word = os.environ.pop(VARIABLE).split(":")
    descriptor, device, inode = map(int, numbers)
    record(descriptor, (device, inode), word)
