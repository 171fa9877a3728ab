"""Train and test a variational autoencoder; `python vae.py` lists the command lines."""

import preflight  # noqa: F401, I001

import difflib
import importlib
import sys
from collections.abc import Callable

import torch

from graded import test_classifier, test_reconstruction, train
from grader.errors import UserError

Handler = Callable[[list[str], list[str], str], None]
# mode: (what comes before its name, what may follow it, its handler, what it does)
Modes = dict[str, tuple[str, str, Handler, str]]

GRADED: Modes = {
    "train": ("TRAIN VAL", "[vae.pth [gmm_params.pkl]]", train, "train the VAE and the mixture"),
    "test_reconstruction": ("TEST", "[vae.pth]", test_reconstruction, "write the reconstructions"),
    "test_classifier": ("TEST", "[vae.pth [gmm_params.pkl]]", test_classifier, "write vae.csv"),
}


def extra_modes() -> Modes:
    """Return the modes other than the graded ones; what they need is imported when they run."""

    def lazily(handler: str) -> Handler:
        module, function = handler.rsplit(".", 1)
        return lambda *words: getattr(importlib.import_module(module), function)(*words)

    tables = [importlib.import_module(name).MODES for name in ("reports", "studies")]
    return {
        name: (before, after, lazily(handler), text)
        for table in tables
        for name, (before, after, handler, text) in table.items()
    }


def project_version() -> str:
    """Return the version of the repository."""
    return str(importlib.import_module("grader").__version__)


def find_mode(words: list[str], modes: Modes) -> str | None:
    """Return the mode whose name is in `words` where its command line has it, or before --help."""
    for name, (before, *_) in modes.items():
        place = len(before.split())
        if words[place : place + 1] == [name] or words == [name, "--help"]:
            return name
    return None


def misplaced(words: list[str], modes: Modes) -> UserError:
    """Return an error for words with no mode in its place, with what may have been meant."""
    near = [name for word in words[:3] for name in difflib.get_close_matches(word, modes, 1, 0.7)]
    expected = "what 'python vae.py' lists"
    if near:
        before, after, *_ = modes[near[0]]
        expected = f"python vae.py {before} {near[0]} {after}"
    return UserError("command line", repr(" ".join(words)), expected)


def print_help(modes: Modes) -> None:
    for name, (before, after, _, text) in modes.items():
        print(f"python vae.py {before} {name} {after}\n    {text}")
    print("'vae.py MODE --help' lists the options of a mode.")


def main(words: list[str]) -> int:
    modes = GRADED
    name = find_mode(words, modes)
    if name is None:
        modes = modes | extra_modes()
        name = find_mode(words, modes)
    if words == ["--version"]:
        print(f"vae.py {project_version()}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print_help(modes)
        return 0
    torch.manual_seed(0)
    try:
        if name is None:
            raise misplaced(words, modes)
        before, after, handler, _ = modes[name]
        place = len(before.split())
        if words == [name, "--help"]:
            words = [*before.split(), *words]
        handler(words[:place], words[place + 1 :], f"vae.py {before} {name} {after}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; every file is whole, old or new", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
