"""The command lines of the modes: their options, the device, and the checks before any work."""

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import torch

from grader.errors import UserError
from storage import check_writable


class CommandLine(argparse.ArgumentParser):
    """A parser for what follows the name of a mode. A mistake is a UserError, so it is one line."""

    def __init__(self, usage: str, example: str) -> None:
        usage, example = f"python {usage} [--option value]", f"Example: python vae.py {example}"
        as_is = argparse.RawDescriptionHelpFormatter  # the example is for copying
        super().__init__(usage=usage, epilog=example, allow_abbrev=False, formatter_class=as_is)

    def add_model(self, *, gmm: bool) -> None:
        """Add the optional paths of the model and, if `gmm`, the mixture; add the device."""
        self.add_argument("model", nargs="?", type=Path, default=Path("vae.pth"), metavar="vae.pth")
        if gmm:
            self.add_argument("gmm", nargs="?", type=Path, help="default: in the model's folder")
        self.add_argument("--device", type=choose_device, default=default_device(), metavar="NAME")

    def parse(self, words: list[str]) -> argparse.Namespace:
        options = self.parse_intermixed_args(words)
        if "gmm" in options and options.gmm is None:
            options.gmm = options.model.parent / "gmm_params.pkl"
        return options

    def error(self, message: str) -> NoReturn:
        raise UserError("command line", message, self.usage or "")


def default_device() -> str:
    """Return the device in VAE_DEVICE, or else the GPU if there is one, or else the CPU."""
    return os.environ.get("VAE_DEVICE", "cuda" if torch.cuda.is_available() else "cpu")


def choose_device(name: str) -> torch.device:
    """Return the device called `name`. Raises UserError if there is none."""
    with suppress(RuntimeError, AssertionError):
        device = torch.zeros(0, device=name).device
        if device.type in ("cpu", "cuda"):
            return device
    raise UserError("device", repr(name), "cpu, or cuda on a machine that has it")


def check_outputs(
    outputs: Sequence[Path], inputs: Sequence[Path], sizes: Sequence[int] | None = None
) -> None:
    """Raise UserError, before any work, for an output that must not or cannot be written.

    `sizes`: the largest size of each output in bytes; one byte by default.
    """
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in taken:
            raise UserError(path, "a name that another file has here", "a name of its own")
        taken.add(path.resolve())
    check_writable(dict(zip(outputs, sizes or [1] * len(outputs), strict=True)))
