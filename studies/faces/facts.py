"""What a run says of its networks: computed once from its numbers, and read by all answers."""

from collections.abc import Mapping
from typing import Any

from studies.shared.checks import leading, sign, trend

Numbers = Mapping[str, Any]
LEVEL = 0.01  # significance level, for all networks together


def facts(found: Numbers) -> dict[str, Any]:
    """Return the verdicts of the run, as lists of numbers of latents."""
    models = found["models"]
    level = LEVEL / len(models)
    clusters = {latent: model["clusters"] for latent, model in models.items()}
    ssims = {latent: model["unseen_ssim"] for latent, model in models.items()}
    gaps = {latent: sign(model["gap"]) for latent, model in models.items()}
    told = [latent for latent, row in clusters.items() if row["p"] < level]
    in_plane = [latent for latent, row in clusters.items() if row["plane_p"] < level]
    kl = {latent: trend(late) for latent, late in found.get("lowest_kl", {}).items()}
    return {
        "level": LEVEL,
        "by_heart": [latent for latent, gap in gaps.items() if gap > 0],
        "alike": [latent for latent, gap in gaps.items() if gap == 0],
        "unseen_easier": [latent for latent, gap in gaps.items() if gap < 0],
        "course": {latent: trend(late) for latent, late in found["late"].items()},
        "kl_rises": [latent for latent, course in kl.items() if course == "rises"],
        "kl_unknown": "unknown" in kl.values(),
        "best": leading(
            ssims, {latent: model["ssim_behind"]["error"] for latent, model in models.items()}
        ),
        "beats_mean_face": [
            latent for latent, model in models.items() if sign(model["against_mean_face"]) < 0
        ],
        "clustered": [
            latent for latent, row in clusters.items() if row["silhouette"] > row["shuffled"][1]
        ],
        "by_person": [
            latent
            for latent, row in clusters.items()
            if row.get("silhouette_of_people", -1) > row["silhouette"]
        ],
        "told": told,
        "visible": [latent for latent in told if latent in in_plane],
        "only_in_plane": [latent for latent in in_plane if latent not in told],
    }
