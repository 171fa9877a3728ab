"""What a user's mistake is to look like, wherever it is made."""

import pytest

import vae


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistaken command line of vae.py is answered with, beside exit code 2."""
    assert vae.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said
