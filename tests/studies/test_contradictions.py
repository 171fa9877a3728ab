"""Whatever a run measures, its answers contradict neither each other nor its own checks."""

import copy
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from studies.celeba.study import ANSWERS as CELEBA
from studies.cvae.study import ANSWERS as CVAE
from studies.faces.study import ANSWERS as FACES
from studies.latent_study.study import ANSWERS as LATENT_STUDY
from studies.pokemon.study import ANSWERS as POKEMON
from studies.segment.facts import problems as segment_problems
from studies.segment.study import ANSWERS as SEGMENT
from studies.shared.answers import answer
from studies.shared.checks import (
    Problem,
    checked,
    collapsed,
    held_out_problems,
    late_change,
    worse_than_pca,
)
from tests.studies import (
    test_celeba,
    test_cvae,
    test_faces,
    test_latent_study,
    test_pokemon,
    test_segment,
)

FACES_SUMMARY = test_faces.a_summary()  # its feature maps take a while
HISTORIES = st.lists(st.floats(0.01, 1), min_size=1, max_size=12)


def varied(data: st.DataObject, summary: Any) -> Any:
    """Return a copy of a summary with each difference drawn: below, within or above the noise."""
    if isinstance(summary, Mapping):
        found = {key: varied(data, value) for key, value in summary.items()}
        if {"difference", "error"} <= {*found}:
            errors = data.draw(st.sampled_from([-3, 0, 3]))
            found["difference"] = errors * max(found["error"], 1e-3)
        return found
    return copy.deepcopy(summary)


def whole(
    template: Path, summary: Mapping[str, Any], problems: Mapping[str, list[Problem]] | None = None
) -> dict[str, str]:
    """Return the text of each section, "This run" and its problems included."""
    facts = importlib.import_module(f"studies.{template.parent.name}.facts").facts(summary)
    checks = checked("full", problems or {"nothing": [None]})
    text = answer(template, {**summary, "facts": facts, "checks": checks})
    parts = (part.split("\n", 1) for part in text.split("\n## "))
    return {name.removeprefix("## "): " ".join(body.split()) for name, body in parts}


def one_of(text: str, *sentences: str) -> str:
    """Check that a text says exactly one of these; return it."""
    said = [sentence for sentence in sentences if sentence in text]
    assert len(said) == 1, (said, text)
    return said[0]


def is_trend_of_the_problems(opening: str, what: str, text: str, *sentences: str) -> None:
    """Check what is said of a loss (falls, level, rises, unknown) against the run's problems."""
    problems = (f"{what} was still falling", "", f"{what} was lowest after", f"{what}: ")
    said = sentences.index(one_of(text, *sentences))
    for number, problem in enumerate(problems):
        assert not problem or (problem in opening) == (number == said)


@given(data=st.data(), active=st.sampled_from([0, 1, 3]), many=st.sampled_from([0, 60, 100]))
def test_answers_of_celeba(data: st.DataObject, active: int, many: int) -> None:
    summary = varied(data, test_celeba.a_summary())
    models, names = summary["models"], {3: "few", 100: "many"}
    models[3]["active_units"], models[100]["active_units"] = active, many
    histories = {latent: data.draw(HISTORIES) for latent in models}
    summary["late"] = {latent: late_change(losses) for latent, losses in histories.items()}
    for model in models.values():
        model["prior_among_codes"] = data.draw(st.sampled_from([0.1, 0.9]))
        model["diversity_fitted"] = data.draw(st.sampled_from([0.1, 0.2]))
    problems = held_out_problems("losses", {f"Loss {n}": h for n, h in histories.items()})
    problems["z"] = [
        collapsed(str(name), model["active_units"], name) for name, model in models.items()
    ]
    problems["PCA"] = [
        worse_than_pca(f"{n} L", m["against_pca"], 0.02, n) for n, m in models.items()
    ]
    texts = whole(CELEBA, summary, problems)
    opening = texts["This run"]
    for latent, which in names.items():
        curves = texts[f"{'5b' if latent == 3 else '5c'}, curves"]
        levels = (
            "more epochs would lower it",
            "not changed beyond the noise",
            "fewer epochs would be better",
            "do not show whether more would lower it",
        )
        is_trend_of_the_problems(opening, f"Loss {latent}", curves, *levels)
        one_of(curves, "So the network knows", "does not show that the network knows")
        shown = texts[f"{'5b' if latent == 3 else '5c'}, reconstructions"]
        assert ("is not below that of" in shown) == (f"per pixel of {latent} L" in opening)
        inside = one_of(
            texts[f"6, {which} latents"], "where the decoder saw hardly", "lie among the"
        )
        outside = "see faces in between, look at the pairs from the fitted Gaussian."
        path = texts["7"].split(f"With L = {latent},")[1].split("With L =")[0]
        assert (outside in path) == (inside == "where the decoder saw hardly")
    better = one_of(
        texts["5c, reconstructions"],
        "let z say more about a face",
        "make the reconstructions worse",
        "does not show that a larger z helps",
    )
    use = (
        one_of(
            texts["5c, dimension"],
            "would stay there too",
            "a use for all of them",
            "would only cost weights and time.",
        )
        if many == 100
        else one_of(texts["5c, dimension"], "would stay there too")
    )
    assert use != "a use for all of them" or better == "let z say more about a face"
    assert (use == "would stay there too") == ("of the 100 units" in opening)
    diverse = one_of(texts["6, difference"], "more diverse", "less diverse", "only by the noise")
    if "parts of a face vary independently" in texts["6, difference"]:
        assert diverse == "more diverse"
        assert "the image, so all generated faces are much the same" not in texts["6, difference"]


@given(data=st.data())
def test_answers_of_faces(data: st.DataObject) -> None:
    summary = varied(data, FACES_SUMMARY)
    model = summary["models"][20]
    model["ssim_behind"] = {"difference": 0.0, "error": 0.0}  # it is the only one
    model["clusters"]["p"], model["clusters"]["plane_p"] = (
        data.draw(st.sampled_from([1e-9, 0.5])) for _ in range(2)
    )
    history = data.draw(HISTORIES)
    summary["late"] = {20: late_change(history)}
    problems = held_out_problems("errors", {"The error": history})
    for template in FACES.values():
        texts = whole(template, summary, problems)
        text = texts["Training"]
        trends = ("more epochs", "changed only by the noise", "fewer epochs", "cannot show")
        is_trend_of_the_problems(texts["This run"], "The error", text, *trends)
        gaps = ("a larger error than", "two errors differ only", "a smaller error than")
        gap = gaps.index(one_of(text, *gaps))
        recovered = next(body for name, body in texts.items() if "recovered" in name)
        verdicts = (
            "what is missing compared",
            "as well as training faces",
            "better than training faces",
            "none of them recovers",
        )
        verdict = verdicts.index(one_of(recovered, *verdicts))
        assert verdict in (gap, len(verdicts) - 1)
        clusters = next(body for name, body in texts.items() if "clusters" in name)
        told = one_of(clusters, "the latents contain it", "does not predict the expression better")
        assert ("even in the PCA plane" in clusters) <= (told == "the latents contain it")
        assert ("a probe of the PCA plane does" in clusters) <= (told != "the latents contain it")


@given(
    data=st.data(),
    shares=st.tuples(*[st.sampled_from([0.05, 0.1, 0.6, 0.9])] * 4),
    sharp=st.sampled_from([0.3, 1.0, 3.0]),
)
def test_answers_of_cvae(data: st.DataObject, shares: tuple[float, ...], sharp: float) -> None:
    one_hot, number, across, within = shares
    summary = varied(data, test_cvae.a_summary(one_hot, number, across, sharp))
    summary["interpolation"]["in_class"]["share"] = within
    against = summary["one_hot"]["against_pca"]
    texts = whole(CVAE, summary, {"PCA": [worse_than_pca("it", against, 0.03, 10)]})
    kept = one_of(
        texts["Q2.1"], "does not keep to the", "still contains part", "the condition determines the"
    )
    assert kept != "the condition determines the" or within <= across + 0.1
    better = one_of(
        texts["Q2.2"],
        "does not show which condition",
        "the model confuses classes",
        "the model with numbers is better",
        "do not show in this run",
    )
    assert better != "the model confuses classes" or one_hot > number
    assert better != "the model with numbers is better" or number > one_hot
    softer = one_of(texts["Q2.3"], "as sharp as", "sharper or noisier than", "softer than")
    advice = one_of(
        texts["Q2.3"],
        "no better than principal",
        "Samples are blurred because",
        "first things to try",
    )
    assert (advice == "no better than principal") == ("principal components" in texts["This run"])
    assert advice != "Samples are blurred because" or softer == "softer than"
    assert ("stronger than real ones are noise" in texts["Q2.3"]) <= (softer.startswith("sharper"))


@given(data=st.data(), active=st.sampled_from([0, 1, 2]))
def test_answers_of_latent_study(data: st.DataObject, active: int) -> None:
    summary = varied(data, test_latent_study.a_summary())
    summary["models"]["vae"]["active_units"] = active
    overfits = summary["classifier"]["gap"]["difference"] > 0
    summary["improvement"]["change"] = "distorted" if overfits else "wider"
    against = summary["models"]["autoencoder"]["against_pca"]
    problems = {
        "z": [collapsed("the VAE", active, 2)],
        "PCA": [worse_than_pca("the autoencoder", against, 0.05, 2)],
    }
    texts = whole(LATENT_STUDY, summary, problems)
    one_of(texts["1"], "The reconstructions keep the position", "no better than those of two")
    assert ("no better than those of two" in texts["1"]) == (
        "per pixel of the autoencoder" in texts["This run"]
    )
    verdict = one_of(texts["4b"], "it overfits", "it underfits", "the capacity suffices")
    change = one_of(texts["4c"], "The classifier overfits", "does not overfit")
    assert (verdict == "it overfits") == (change == "The classifier overfits")
    gap = summary["classifier"]["gap"]["difference"]
    assert ("The test loss is larger beyond" in texts["4b"]) == (gap > 0)
    gain = one_of(texts["4c"], "change improved", "accuracy worse", "only by the noise")
    assert (verdict == "it underfits") <= (gain == "change improved")
    unused = "None of the 2 units" in texts["This run"]
    assert ("no unit of z depends on the image" in texts["6b"]) == unused
    assert ("No unit of the VAE's z depends" in texts["6d"]) == unused
    assert not (unused and "is a small cloud around" in texts["6b"])
    assert not (unused and "nearer to real images" in texts["6d"])


@given(data=st.data())
def test_answers_of_pokemon(data: st.DataObject) -> None:
    summary = varied(data, test_pokemon.a_summary(400, 500, 600, 0.01))
    against = summary["augmented"]["against_pca"]
    texts = whole(POKEMON, summary, {"PCA": [worse_than_pca("it", against, 0.02, 32)]})
    pca = one_of(texts["Bonus.1"], "within the noise of the", "more than the", "less than the")
    assert (pca == "less than the") == ("principal components" not in texts["This run"])
    one_of(texts["Bonus.1"], "knows its training images better", "does not show that the model")
    one_of(texts["Bonus.2"], "copies helped", "did not help", "no difference beyond the noise")


@given(
    contrast=st.sampled_from([0.5, 0.95, 1.4]),
    explained=st.tuples(*[st.sampled_from([0.2, 0.5, 0.9])] * 2),
    pieces=st.tuples(*[st.sampled_from([3, 30])] * 2),
)
def test_answers_of_segment(
    contrast: float, explained: tuple[float, float], pieces: tuple[int, int]
) -> None:
    results = [
        test_segment.result("k-means", 0.9, explained[0], pieces[0]),
        test_segment.result("spectral", contrast, explained[1], pieces[1]),
        test_segment.result("cells", 0.9, 0.2, 5),
    ]
    summary: dict[str, Any] = {
        **test_segment.OPTIONS,
        "images": [test_segment.image("x", 0.5, results, 0.1)],
    }
    facts = importlib.import_module("studies.segment.facts").facts(summary)
    texts = whole(SEGMENT, summary, segment_problems(summary | {"facts": facts}))
    edges = one_of(
        texts["Q4.1"],
        "so its boundaries prefer edges",
        "so its boundaries avoid edges",
        "not show that its boundaries prefer",
    )
    assert (edges == "so its boundaries prefer edges") == (
        "contrast of spectral clustering is not above" not in texts["This run"]
    )
    better = one_of(
        texts["Q4.1"], "k-means shows better", "So k-means is more", "spectral clustering is more"
    )
    assert better != "So k-means is more" or pieces[0] <= pieces[1]
    assert ("spectral clustering is more" in better) == (explained[0] <= explained[1])
    assert ("takes the largest number that was tried" in texts["Q4.2"]) == (
        "takes the largest number of clusters" in texts["This run"]
    )
