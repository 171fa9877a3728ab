"""What a run says of its betas: computed once from its numbers, and read by all answers."""

from collections.abc import Mapping
from typing import Any

from studies.shared.checks import leading, share_error, sign

TREND = {-1: "falls", 0: "hardly changes", 1: "rises"}


def facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the verdicts on the betas; several betas are best if they differ by the noise only."""
    betas = found["betas"]

    def best(key: str, errors: Mapping[str, float], *, lowest: bool = False) -> list[str]:
        return leading({b: row[key] for b, row in betas.items()}, errors, lowest=lowest)

    recognised = {b: share_error(row["recognised"], found["samples"]) for b, row in betas.items()}
    faithful = best(
        "reconstruction",
        {b: row["reconstruction_behind"]["error"] for b, row in betas.items()},
        lowest=True,
    )
    clearest = best("recognised", recognised)
    widest = best("effective_classes", {b: r["classes_error"] for b, r in betas.items()})
    low, high = min(betas, key=float), max(betas, key=float)
    trends = {
        beta: {term: TREND[sign(course)] for term, course in terms.items()}
        for beta, terms in found["course"].items()
    }
    pca = {beta: sign(row["against_pca"]) for beta, row in betas.items()}
    return {
        "several": len(betas) > 1,
        "low": low,
        "high": high,
        "faithful": faithful,
        "clearest": clearest,
        "sharpest": best(
            "sharpness_of_samples", {b: r["sharpness_error"] for b, r in betas.items()}
        ),
        "widest": widest,
        "both": [beta for beta in faithful if beta in clearest],
        "diverse_and_clear": [beta for beta in widest if beta in clearest],
        "trade_off": trades(betas[low], betas[high]),
        "trends": trends,
        "common": {term: common(trends, term) for term in ("reconstruction", "kl")},
        "samples": "untrained"
        if any(pca[beta] > 0 for beta in [*faithful, *clearest])
        else samples_against_reconstructions(faithful, clearest),
        "better_than_pca": [beta for beta, verdict in pca.items() if verdict < 0],
        "worse_than_pca": [beta for beta, verdict in pca.items() if verdict > 0],
    }


def trades(loose: Mapping[str, Any], tight: Mapping[str, Any]) -> bool:
    """Check that the larger beta has the larger reconstruction error and the smaller KL."""
    loose_gap, tight_gap = (row["reconstruction_behind"] for row in (loose, tight))
    error = {
        "difference": tight["reconstruction"] - loose["reconstruction"],
        "error": loose_gap["error"] + tight_gap["error"],
    }
    kl = {"difference": tight["kl"] - loose["kl"], "error": loose["kl_error"] + tight["kl_error"]}
    return sign(error) > 0 > sign(kl)


def common(trends: Mapping[str, Mapping[str, str]], term: str) -> str:
    """Return the trend of a term if all betas share it; otherwise, that it differs."""
    found = {row[term] for row in trends.values()}
    return found.pop() if len(found) == 1 else "differs"


def samples_against_reconstructions(faithful: list[str], clearest: list[str]) -> str:
    """Say how the betas with the best samples compare with those with the best reconstructions."""
    if {*faithful} & {*clearest}:
        return "same"
    if max(map(float, faithful)) < min(map(float, clearest)):
        return "larger"
    return "smaller" if min(map(float, faithful)) > max(map(float, clearest)) else "mixed"
