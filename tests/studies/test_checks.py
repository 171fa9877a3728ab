from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.beta_vae.study import ANSWERS
from studies.shared import checks
from studies.shared.answers import answer
from studies.shared.options import epochs_within
from tests.studies.sections import FINE, sections
from tests.studies.test_beta_vae import a_summary


def test_a_loss_still_falls_only_beyond_its_noise() -> None:
    noise = np.random.default_rng(0).normal(size=50)
    assert checks.still_falling("it", [*(10 + noise)]) is None
    text = checks.still_falling("The loss", [*np.linspace(100.0, 0, 50)])
    assert text
    assert "over the last 10 of 50 epochs" in text
    assert checks.rising_again("it", [*np.linspace(100.0, 0, 50)]) is None
    assert checks.rising_again("it", [3.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    for losses in ([1.0], [1.0, 0.5], [0.5, 1.0]):
        unknown = checks.still_falling("The loss", losses)
        assert unknown
        assert f"The loss: {len(losses)} epoch" in unknown
        assert checks.rising_again("The loss", losses) is None
        made = checks.held_out_problems("losses", {"The loss": losses})
        assert made["losses that rise again"] == []
    for losses in ([5.0, 4, 3, np.inf], [5.0, np.inf, 4, 3], [np.nan, 5, 4, 3, 2, 1, 0.5]):
        infinite = checks.still_falling("The loss", losses)
        assert infinite == f"The loss was not finite after 1 epoch of {len(losses)}."
        assert checks.rising_again("The loss", losses) is None


def test_a_tie_names_all_and_one_image_shows_no_difference() -> None:
    assert checks.leading({"a": 1.0, "b": 0.95, "c": 0.5}, dict.fromkeys("abc", 0.1)) == ["a", "b"]
    assert checks.sign(checks.paired([5.0], [1.0])) == 0
    assert checks.sign(checks.paired([5.0, 5.1, 5.2], [1.0, 1.0, 1.0])) == 1


def test_a_quick_preset_counts_steps() -> None:
    assert epochs_within(10**6, 1000, 100) == 10
    assert epochs_within(10**6, 1000, 10) == 100
    assert epochs_within(2, 1000, 10) == 2


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_every_answer_of_a_quick_run_says_so(preset: str, tmp_path: Path) -> None:
    template = tmp_path / "a.md"
    template.write_text("## 1\n\n*Why?*\n\nText.\n\n## 2\n\n*How?*\n\nMore.\n")
    text = answer(template, {"checks": FINE | {"preset": preset, "problems": ["It is wrong."]}})
    assert text.count("**Quick run:**") == 2 * (preset == "quick")
    assert text.index("It is wrong.") < text.index("*Why?*")
    fine = answer(template, {"checks": FINE})
    assert "found nothing wrong: number of steps; collapsed latents" in fine


@given(
    errors=st.tuples(st.floats(1, 500), st.floats(1, 500)),
    recognised=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    pca=st.sampled_from([-0.02, 0.0, 0.02]),
)
def test_the_answers_on_betas_do_not_contradict_each_other(
    errors: tuple[float, float], recognised: tuple[float, float], pca: float
) -> None:
    summary = a_summary((5, 20), (150, 90), swap=False)
    for row, error, share in zip(summary["betas"].values(), errors, recognised, strict=True):
        row["reconstruction"], row["recognised"] = error, share
        row["reconstruction_behind"] = {"difference": error - min(errors), "error": 1.0}
        row["against_pca"]["difference"] = pca
    text = sections(ANSWERS, summary)["Q1.3"]
    if pca > 0:
        assert "does not show which beta is better" in text
        assert "among the best" not in text
    assert ("lowest at betas 1 and 5" in text) == (abs(errors[0] - errors[1]) <= 2 * 2**0.5)


def test_one_beta_is_not_compared() -> None:
    summary = a_summary((5, 20), (150, 90), swap=False)
    for part in ("betas", "course"):
        del summary[part]["5"]
    text = "".join(sections(ANSWERS, summary).values())
    assert text.count("only one beta") == 3
    assert "most diverse" not in text
    assert "sharpest" not in text
