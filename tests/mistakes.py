"""The response to a user's mistake, which is the same in every mode."""

import pytest

import vae


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Check that vae.py refuses a command line with exit code 2, and return its error line."""
    assert vae.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said
