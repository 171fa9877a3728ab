"""Run a study without the graded modes, as the notebook of a course does: it has no vae.py."""

import importlib
import sys

import torch

from grader.errors import UserError
from studies import MODES

USAGE = "python -m studies DATA STUDY OUT_DIR"


def main(words: list[str]) -> int:
    torch.manual_seed(0)
    try:
        if len(words) < 2 or words[1] not in MODES:
            raise UserError("command line", repr(" ".join(words)), USAGE)
        data, study, *after = words
        before, form, handler, _ = MODES[study]
        module, function = handler.rsplit(".", 1)
        usage = f"-m studies {before} {study} {form}"
        getattr(importlib.import_module(module), function)([data], after, usage)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
