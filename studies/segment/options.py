"""The options of `segment`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from typer import Option

from studies.shared.options import Preset


@dataclass(frozen=True)
class Options:
    """How the images are segmented."""

    preset: Annotated[
        Preset,
        Option(help="as for the other studies; both are the same here, because they take a minute"),
    ] = "full"
    candidates: Annotated[
        list[int], Option(min=2, help="numbers of clusters, of which each method's rule takes one")
    ] = field(default_factory=lambda: [2, 3, 4, 6, 12, 20, 30, 40, 60])
    clusters: Annotated[
        int | None, Option(min=2, help="number of clusters of both methods, in place of the rules'")
    ] = None
    max_iter: Annotated[
        int, Option(min=1, max=10**6, help="maximum number of iterations of k-means")
    ] = 300
    features: Annotated[
        Literal["grey", "colour_position"], Option(help="what k-means uses of a pixel")
    ] = "grey"
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="seed of the first of three runs")] = 0
