"""What a run says of its segmentations: computed once from its numbers, read by all answers."""

from collections.abc import Mapping
from typing import Any

from studies.shared.checks import Problem, count

Numbers = Mapping[str, Any]


def facts(found: Numbers) -> dict[str, Any]:
    """Return the verdicts on each image, by its name.

    Ranges are those of three runs; two methods differ if their ranges do not overlap.
    """
    verdicts = {}
    for image in found["images"]:
        kmeans, spectral, cells = image["results"]
        verdicts[image["name"]] = {
            "contrast": above(spectral["contrasts"], cells["contrasts"]),
            "uniform": above(spectral["explained"], cells["explained"]),
            "kmeans_uniform": above(kmeans["explained"], spectral["explained"]),
            "kmeans_in_more_pieces": kmeans["pieces"] > spectral["pieces"],
            "largest_taken": not found["fixed"]
            and str(image["chosen"]["spectral"]) == list(image["contrasts"]["cells"])[-1],
            "converged": len(image["inertias"]) < found["max_iter"],
        }
    return verdicts


def above(first: list[float], second: list[float]) -> int:
    """Return 1 or -1 if one range is wholly above or below another, and 0 if they overlap."""
    return 1 if first[0] > second[1] else -1 if first[1] < second[0] else 0


def problems(found: Numbers) -> dict[str, list[Problem]]:
    """Return what is wrong with the run, by the name of the check."""
    verdicts, images = found["facts"], found["images"]
    return {
        "k-means has converged": [
            None
            if verdicts[image["name"]]["converged"]
            else f"On {image['name']}, k-means was stopped after "
            f"{count(found['max_iter'], 'iteration')}."
            for image in images
        ],
        "the largest number of clusters is not the best": [
            f"On {image['name']}, spectral clustering takes the largest number of clusters that "
            f"was tried, {image['chosen']['spectral']}; a larger one may be better."
            if verdicts[image["name"]]["largest_taken"]
            else None
            for image in images
        ],
        "spectral clustering against cells that ignore grey": [
            f"On {image['name']}, the contrast of spectral clustering is not above that of as many "
            "cells that ignore grey, in all of three runs."
            if verdicts[image["name"]]["contrast"] <= 0
            else None
            for image in images
        ],
    }
