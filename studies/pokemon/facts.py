"""What a run says of its sprites: computed once from its numbers, and read by all answers."""

from collections.abc import Mapping
from typing import Any

from studies.shared.checks import sign


def facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdicts of the run.

    `copies`: -1 if copies lower the held-out error, 1 if they raise it.
    """
    types = found["types"]
    most, fewest = max(types.values()), min(types.values())
    return {
        "memorises": sign(found["augmented"]["gap"]) > 0,
        "against_pca": sign(found["augmented"]["against_pca"]),
        "copies": sign(found["augmented_less_plain"]),
        "common": [name for name, number in types.items() if number == most],
        "rare": [name for name, number in types.items() if number == fewest],
    }
