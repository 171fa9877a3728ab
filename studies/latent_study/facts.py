"""What a run says of its planes and classifiers: computed once, and read by all answers."""

from collections.abc import Mapping
from itertools import permutations
from math import hypot
from typing import Any

from studies.shared.checks import leading, share_error, sign

Numbers = Mapping[str, Any]


def facts(found: Numbers) -> dict[str, Any]:
    """Return the verdicts of the run."""
    rates, classes = found["all"], found["all"]["classes"]
    verdicts = {
        verdict: [name for name, row in classes.items() if row["verdict"] == verdict]
        for verdict in ("better", "worse", "as the rest")
    }
    quantiles, plain = found["grids"]["quantiles"], found["grids"]["autoencoder"]
    gain = sign(found["improvement"]["gain"])
    overfits = sign(found["classifier"]["gap"]) > 0
    clipped = found["models"]["autoencoder"]["clipped_by_class"]
    trained_on = {name: max(row["random"] * found["images"], 1) for name, row in classes.items()}
    return {
        "verdicts": verdicts,
        "overlapping": overlapping(rates),
        "better_than_pca": sign(found["models"]["autoencoder"]["against_pca"]) < 0,
        "against_chance": against_chance(found["first"]),
        "planes": sign(
            {
                "difference": found["vae_all"]["accuracy"] - rates["accuracy"],
                "error": hypot(
                    share_error(rates["accuracy"], rates["number"]),
                    share_error(found["vae_all"]["accuracy"], rates["number"]),
                ),
            }
        ),
        "clipped_most": leading(
            clipped, {name: share_error(share, trained_on[name]) for name, share in clipped.items()}
        ),
        "overfits": overfits,
        "underfits": not overfits and found["improvement"]["change"] == "wider" and gain > 0,
        "gain": gain,
        "vae_uses_z": found["models"]["vae"]["active_units"] > 0,
        "quantiles_nearer": sign(
            {
                "difference": plain["distance"] - quantiles["distance"],
                "error": hypot(plain["distance_error"], quantiles["distance_error"]),
            }
        ),
    }


def overlapping(rates: Numbers) -> dict[str, float]:
    """Return the pairs of classes that are confused more often than by chance, and how often."""
    classes = rates["classes"]
    named = {f"{a} and {b}": (classes[a], classes[b]) for a, b in permutations(classes, 2)}
    pairs = {}
    for pair, share in rates["overlaps"].items():
        first, second = named[pair]
        images = first["number"] + second["number"]
        if images:
            chance = (
                first["number"] * second["random"] + second["number"] * first["random"]
            ) / images
            excess = {"difference": share - chance, "error": share_error(share, images)}
            if sign(excess) > 0:
                pairs[pair] = share
    return pairs


def against_chance(rate: Numbers) -> int:
    """Return 1 or -1 if the 95 % interval of a rate is above or below chance, otherwise 0."""
    low, high = rate["interval"]
    return 1 if low > rate["random"] else -1 if high < rate["random"] else 0
