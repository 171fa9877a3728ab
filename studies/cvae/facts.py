"""What a run says of its two conditions: computed once from its numbers, read by all answers."""

from collections.abc import Mapping
from math import hypot
from typing import Any

from studies.shared.checks import leading, share_error, sign


def facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdicts on the conditions, on interpolation and on samples."""
    chance, samples = 1 / len(found["classes"]), found["samples_per_class"]
    one_hot, number = found["one_hot"], found["number"]
    shares = [row["conditional_accuracy"] for row in (one_hot, number)]
    errors = [share_error(share, samples * len(found["classes"])) for share in shares]
    obeys = [
        sign({"difference": share - chance, "error": error}) > 0
        for share, error in zip(shares, errors, strict=True)
    ]
    within, across = (found["interpolation"][name] for name in ("in_class", "across"))
    of_class = one_hot["of_each_class"]
    of_number = number["of_each_class"]
    best, worst = (ends(of_class, samples, lowest=lowest) for lowest in (False, True))
    return {
        "chance": chance,
        "obeys": obeys[0],
        "either_obeys": any(obeys),
        "conditions": sign({"difference": shares[0] - shares[1], "error": hypot(*errors)}),
        "errors": sign(found["one_hot_less_number"]),
        "kept_within": None
        if within is None
        else sign({"difference": within["share"] - chance, "error": within["error"]}) > 0,
        "class_in_z": None
        if within is None or across is None
        else sign(
            {
                "difference": within["share"] - across["share"],
                "error": hypot(within["error"], across["error"]),
            }
        )
        > 0,
        "sharpness": sign(
            {"difference": one_hot["sharpness_of_samples"] - 1, "error": one_hot["sharpness_error"]}
        ),
        "best": best,
        "worst": worst,
        "apart": not {*best} & {*worst},
        "worst_with_number": ends(of_number, samples, lowest=True),
        "against_pca": sign(one_hot["against_pca"]),
    }


def ends(shares: Mapping[str, float], samples: int, *, lowest: bool) -> list[str]:
    """Return the classes with the best or worst share, and all that differ only by the noise."""
    errors = {name: share_error(share, samples) for name, share in shares.items()}
    return leading(shares, errors, lowest=lowest)
