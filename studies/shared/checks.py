"""What a run checks of itself, before its answers say anything else.

A check is a small function from numbers to a problem, one sentence with these numbers, or to None.
Two numbers differ only if their difference exceeds `ERRORS` standard errors: over held-out images,
over samples, or over epochs. Each network is trained once, so nothing is known of other seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training import History

ERRORS = 2.0  # standard errors of a difference that counts: 95 % of a normal distribution
LATE = 0.2  # share of the epochs that are the last part of a training
LINE = 0.99  # share of the variance along one axis, from which on codes lie on a line

Difference = dict[str, float]
"""A "difference" of two means, and its standard "error"."""

Problem = str | None
"""One sentence that says what is wrong, with its numbers; or None."""


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean of values (N,).

    A single value could be anything, so its error is as large as the value itself.
    """
    numbers = np.asarray(values, np.float64)
    if len(numbers) < 2:
        return float(abs(numbers).sum())
    return float(numbers.std(ddof=1) / np.sqrt(len(numbers)))


def share_error(share: float, number: float) -> float:
    """Return the standard error of a share of `number` independent trials.

    It is Agresti's and Coull's, so that a share of 0 or 1 is not free of error.
    """
    adjusted = (share * number + 2) / (number + 4)
    return float(np.sqrt(adjusted * (1 - adjusted) / (number + 4)))


def paired(first: ArrayLike, second: ArrayLike) -> Difference:
    """Compare two measures of the same images, (N,) each."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return {"difference": float(difference.mean()), "error": standard_error(difference)}


def unpaired(first: ArrayLike, second: ArrayLike) -> Difference:
    """Compare measures of different images, (N,) and (M,)."""
    means = [float(np.mean(np.asarray(values, np.float64))) for values in (first, second)]
    error = hypot(standard_error(first), standard_error(second))
    return {"difference": means[0] - means[1], "error": error}


def sign(found: Mapping[str, float]) -> int:
    """Return 1 or -1 for a difference above or below 0, and 0 for one within the noise."""
    if not abs(found["difference"]) > ERRORS * found["error"]:  # NaN is noise, too
        return 0
    return 1 if found["difference"] > 0 else -1


def leading(
    values: Mapping[str, float], errors: Mapping[str, float], *, lowest: bool = False
) -> list[str]:
    """Return the names of the best value, and of all that differ from it only by the noise."""
    best = (min if lowest else max)(values, key=lambda name: values[name])
    return [
        name
        for name, value in values.items()
        if abs(value - values[best]) <= ERRORS * hypot(errors[name], errors[best])
    ]


def behind_best(measured: Mapping[str, NDArray], *, lowest: bool = False) -> dict[str, Difference]:
    """Compare measures of the same images, (N,) by name, with those of the best mean."""
    means = {name: float(values.mean()) for name, values in measured.items()}
    best = (min if lowest else max)(means, key=lambda name: means[name])
    return {name: paired(values, measured[best]) for name, values in measured.items()}


def late_change(losses: Sequence[float]) -> dict[str, float]:
    """Return the change of a loss over the last part of a training, and the noise of it.

    The noise is the standard deviation of the change from one epoch to the next. "epochs": those of
    the last part. "best": the epoch with the lowest loss, from 1. "rise": by how much the last loss
    exceeds the lowest.
    """
    part = min(max(2, round(LATE * len(losses))), len(losses) - 1)
    late = np.array(losses[len(losses) - 1 - part :])
    with np.errstate(invalid="ignore"):  # a loss may be infinite
        noise = float(np.diff(late).std()) if part else 0.0
    return {
        "epochs": part,
        "difference": float(late[-1] - late[0]),
        "error": noise,
        "best": 1 + int(np.argmin(losses)),
        "rise": losses[-1] - min(losses),
    }


def trend(late: Mapping[str, float]) -> str:
    """Say whether a loss, with this late change, "rises" after its lowest value or still "falls".

    Otherwise, it is "level", or "unknown" if there are too few epochs to know its noise, or if it
    was not finite. A loss that has risen since its lowest value does not count as falling, even if
    its last part falls.
    """
    if late["epochs"] < 2 or not np.isfinite([late["error"], late["rise"]]).all():
        return "unknown"
    if sign({"difference": late["rise"], "error": late["error"]}) > 0:
        return "rises"
    return "falls" if sign(late) < 0 else "level"


def course(losses: Sequence[float]) -> dict[str, float]:
    """Return the first and the last value of a loss, and the noise of its change."""
    noise = late_change(losses)["error"]
    difference = losses[-1] - losses[0]
    return {"first": losses[0], "last": losses[-1], "difference": difference, "error": noise}


def column(history: History, name: str) -> list[float]:
    """Return a loss after each epoch."""
    return [row[name] for row in history]


def too_few_steps(steps: int, own: int) -> Problem:
    """Check that a network had as many steps as the task's own setting has."""
    if steps >= own:
        return None
    return (
        f"Each network was trained for {count(steps, 'step')}, fewer than the {own:,} that the "
        "task's own setting has."
    )


def still_falling(what: str, losses: Sequence[float]) -> Problem:
    """Check that a loss does not fall any more in the last part of a training."""
    found = late_change(losses)
    verdict = trend(found)
    if infinite := int((~np.isfinite(losses)).sum()):
        return f"{what} was not finite after {count(infinite, 'epoch')} of {len(losses)}."
    if verdict == "unknown":
        number = count(len(losses), "epoch")
        return f"{what}: {number} cannot show whether it was still falling when training ended."
    if verdict != "falls":
        return None
    return (
        f"{what} was still falling when training ended: by {-found['difference']:.3g} over the "
        f"last {found['epochs']} of {len(losses)} epochs, with a noise of {found['error']:.2g}."
    )


def rising_again(what: str, losses: Sequence[float]) -> Problem:
    """Check that a held-out loss did not rise after its lowest value."""
    found = late_change(losses)
    if trend(found) != "rises":
        return None
    return (
        f"{what} was lowest after epoch {found['best']} of {len(losses)} and has risen since by "
        f"{found['rise']:.3g}, with a noise of {found['error']:.2g}: the network overfits."
    )


def collapsed(what: str, active: int, units: int) -> Problem:
    """Check that every unit of z depends on the image."""
    if active == units:
        return None
    if units == 1:
        return f"The only unit of z of {what} does not depend on the image."
    how_many = "None" if not active else f"Only {active}"
    return (
        f"{how_many} of the {units} units of z of {what} depend{'s' if active == 1 else ''} on the "
        "image (a variance of mu above 0.01 over the images)."
    )


def on_a_line(what: str, share: float) -> Problem:
    """Check that codes, whose first principal axis has this share of the variance, are spread."""
    if share <= LINE:
        return None
    return (
        f"The codes of {what} lie on a line: their first principal axis has {share:.1%} of their "
        "variance."
    )


def worse_than_pca(what: str, against: Mapping[str, float], pca: float, components: int) -> Problem:
    """Check a held-out squared error per pixel, minus that of as many principal components."""
    if sign(against) < 0:
        return None
    verdict = "larger than" if sign(against) > 0 else "no smaller, within the noise, than"
    parts = "1 principal component" if components == 1 else f"{components} principal components"
    return (
        f"The squared error per pixel of {what} on held-out images, "
        f"{pca + against['difference']:.4f}, is {verdict} that of {parts}, {pca:.4f} "
        f"(standard error of the difference: {against['error']:.2g})."
    )


def within_noise(what: str, names: Sequence[str]) -> Problem:
    """Check that only one of several is the best at something."""
    if len(names) < 2:
        return None
    return f"The run does not show which is best in {what}: {also(names)} differ only by the noise."


def held_out_problems(what: str, losses: Mapping[str, Sequence[float]]) -> dict[str, list[Problem]]:
    """Check that held-out losses, by what they are the loss of, neither fall nor rise at the end.

    `what`: the name of these losses in the plural.
    """
    return {
        f"{what} that still fall": [still_falling(of, values) for of, values in losses.items()],
        f"{what} that rise again": [
            rising_again(of, values)
            for of, values in losses.items()
            if trend(late_change(values)) != "unknown"
        ],
    }


def latent_problems(
    models: Mapping[str, Mapping[str, Any]], z_dim: int, pca_mse: float
) -> dict[str, list[Problem]]:
    """Check the latents of models with `z_dim` units, by name.

    A model's measures are its "active_units", the share of its "first_axis", and its held-out
    error "against_pca", that is, against `pca_mse` of as many principal components.
    """
    return {
        "collapsed latents": [
            collapsed(name, found["active_units"], z_dim) for name, found in models.items()
        ],
        "codes on a line": [
            on_a_line(name, found["first_axis"]) for name, found in models.items() if z_dim > 1
        ],
        "squared errors against principal components": [
            worse_than_pca(name, found["against_pca"], pca_mse, z_dim)
            for name, found in models.items()
        ],
    }


def count(number: int, noun: str) -> str:
    """Return a number with its noun, which has an "s" unless there is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def also(names: Iterable[object]) -> str:
    """Join names with commas and "and"."""
    *first, last = map(str, names)
    return f"{', '.join(first)} and {last}" if first else last


def checked(
    preset: str, made: Mapping[str, Iterable[Problem]], steps: int = 0, own_steps: int = 0
) -> dict[str, Any]:
    """Return the facts with which all answers of a run begin.

    `made`: what each check found, by its name. `steps`: those of each network, and those in the
    task's own setting; 0 if the study trains nothing.
    """
    found = {"number of steps": [too_few_steps(steps, own_steps)]} if own_steps else {}
    found |= {name: listed for name, problems in made.items() if (listed := list(problems))}
    return {
        "preset": preset,
        "steps": steps,
        "own_steps": own_steps,
        "problems": [text for problems in found.values() for text in problems if text],
        "passed": [name for name, problems in found.items() if not any(problems)],
    }
