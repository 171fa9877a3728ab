"""What a run says of its models: computed once from its numbers, and read by all answers."""

from collections.abc import Mapping
from math import hypot
from typing import Any

from studies.shared.checks import sign, trend

Numbers = Mapping[str, Any]


def facts(found: Numbers) -> dict[str, Any]:
    """Return the verdicts of the run; those on one model are by its number of latents."""
    models = found["models"]
    few, many = min(models), max(models)
    pixels, latent, real = (
        found["interpolation"][f"{name}_distance"] for name in ("pixels", "latent", "real")
    )
    return {
        "few": few,
        "many": many,
        "course": {latent: trend(late) for latent, late in found["late"].items()},
        "memorised": {name: sign(model["gap"]) > 0 for name, model in models.items()},
        "prior_outside": [name for name, model in models.items() if is_outside(model)],
        "blurred": [name for name, model in models.items() if sharpness(model) < 0],
        "strong_edges": [name for name, model in models.items() if sharpness(model) >= 0],
        "silent": [name for name, model in models.items() if not model["active_units"]],
        "unused": {name: name - model["active_units"] for name, model in models.items()},
        "more_ssim": sign(found["ssim_gain"]),
        "more_diverse": compare(models[many], models[few], "diversity_fitted"),
        "mixture_farther": sign(between(pixels, real)),
        "decoded_closer": sign(between(pixels, latent)),
        "middles": {name: middles(model["paths"]) for name, model in models.items()},
        "worse_than_pca": [name for name, row in models.items() if sign(row["against_pca"]) >= 0],
    }


def between(first: Numbers, second: Numbers) -> dict[str, float]:
    """Return the difference of two means, each with its own error."""
    return {
        "difference": first["mean"] - second["mean"],
        "error": hypot(first["error"], second["error"]),
    }


def compare(first: Numbers, second: Numbers, name: str) -> int:
    """Return the sign of the difference of a measure that has an error."""
    pair = ({"mean": row[name], "error": row[f"{name}_error"]} for row in (first, second))
    return sign(between(*pair))


def is_outside(model: Numbers) -> bool:
    """Check that most samples from the prior are outside the ellipsoid of the codes."""
    return bool(model["prior_among_codes"] < 0.5)


def sharpness(model: Numbers) -> int:
    """Return -1 for edges that are weaker than real ones, and 1 for stronger ones."""
    return sign(
        {"difference": model["sharpness_of_reconstructions"] - 1, "error": model["sharpness_error"]}
    )


def middles(paths: Numbers) -> list[str]:
    """Return the kinds of samples whose middles are closer to real faces than their ends."""
    return [kind for kind, path in paths.items() if sign(path["closer"]) < 0]
