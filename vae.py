"""Train and test a variational autoencoder from the command line; `python vae.py` lists how."""

import importlib
import sys

# mode: (what stands before its name, what may follow it, its handler, what it does)
Modes = dict[str, tuple[str, str, str, str]]

GRADED: Modes = {
    "train": (
        "TRAIN VAL",
        "[vae.pth [gmm_params.pkl]]",
        "graded.train",
        "train the VAE and the mixture, and save both",
    ),
    "test_reconstruction": (
        "TEST",
        "[vae.pth]",
        "graded.test_reconstruction",
        "write vae_reconstructed.npz",
    ),
    "test_classifier": (
        "TEST",
        "[vae.pth [gmm_params.pkl]]",
        "graded.test_classifier",
        "write vae.csv",
    ),
}


def extra_modes() -> Modes:
    """The modes beyond the graded ones."""
    reports, studies = importlib.import_module("reports"), importlib.import_module("studies")
    return reports.MODES | studies.MODES


def find_mode(words: list[str], modes: Modes) -> str | None:
    """The mode whose name stands in `words` where its command line has it."""
    for name, (before, *_) in modes.items():
        place = len(before.split())
        if words[place : place + 1] == [name]:
            return name
    return None


def print_help() -> None:
    for title, modes in ("Graded", GRADED), ("Extra", extra_modes()):
        print(f"\n{title} modes:")
        lines = [
            (f"python vae.py {before} {name} {after}", text)
            for name, (before, after, _, text) in modes.items()
        ]
        width = max(len(line) for line, _ in lines)
        for line, text in lines:
            print(f"  {line:{width}}   {text}")
    print("\nEach mode takes --help, and --device cpu or cuda where a network runs.")


def main(words: list[str]) -> int:
    modes = GRADED
    name = find_mode(words, modes)
    if name is None:
        modes = extra_modes()
        name = find_mode(words, modes)
    if name is None:
        print_help()
        if not words or words[0] in ("-h", "--help"):
            return 0
        print(
            f"command line: no mode in {' '.join(words)!r}; expected one of the above",
            file=sys.stderr,
        )
        return 2

    before, after, handler, _ = modes[name]
    module, function = handler.rsplit(".", 1)
    run = getattr(importlib.import_module(module), function)

    import torch

    from storage import UserError

    torch.manual_seed(0)
    place = len(before.split())
    try:
        run(words[:place], words[place + 1 :], f"vae.py {before} {name} {after}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; every file is whole, old or new", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
