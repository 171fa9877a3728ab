"""Answers to the facial-expression assignment's questions, with the numbers of a run."""

from collections.abc import Mapping
from typing import Any

from scipy.stats import binomtest

from studies.shared.answers import listed
from studies.shared.runner import Answer

AE_QUESTIONS = ("Encoder", "Decoder", "Training", "HW5 (1), recovered", "HW5 (1), clusters")
VAE_QUESTIONS = ("Loss", "Training", "HW5 (2), recovered", "HW5 (2), clusters")
QUESTIONS = {"faces_ae": AE_QUESTIONS, "faces_vae": VAE_QUESTIONS}
SEPARATE = 0.25  # a larger silhouette means clusters: Kaufman and Rousseeuw (1990)
SURE = 0.01  # significance level of the probe's successes, for all latent sizes together
LEARNED = 2  # above this ratio of unseen to training error, training faces are learned by heart
VISIBLE = 0.85  # a plane shows the expressions if the probe has a higher accuracy in it
EARLY = 0.9  # if unseen faces were best before this share of the epochs, more did harm
Maps = Mapping[int, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]]


def ae_answers(summary: Mapping[str, Any], maps: Maps) -> list[Answer]:
    """Answer each of `AE_QUESTIONS`. `maps`: shapes by the input's side."""
    return [
        Answer("Encoder", "Which feature maps does the encoder make?", explain_encoder(maps)),
        Answer("Decoder", "Which does the decoder make?", explain_decoder(maps)),
        Answer("Training", "Is the training successful, and the test?", explain_course(summary)),
        Answer("HW5 (1), recovered", "Are unseen faces recovered?", explain_recovered(summary)),
        Answer("HW5 (1), clusters", "Do the expressions form clusters?", explain_clusters(summary)),
    ]


def vae_answers(summary: Mapping[str, Any]) -> list[Answer]:
    """Answer each of `VAE_QUESTIONS`."""
    return [
        Answer("Loss", "What does the loss weigh against what?", explain_loss(summary)),
        Answer("Training", "When are which images recovered?", explain_course(summary)),
        Answer("HW5 (2), recovered", "Are unseen faces recovered?", explain_recovered(summary)),
        Answer("HW5 (2), clusters", "Do the expressions form clusters?", explain_clusters(summary)),
    ]


def shape(parts: tuple[int, ...]) -> str:
    """Describe a shape in words: height, width and depth, or nodes."""
    if len(parts) == 1:
        return f"{parts[0]} nodes"
    depth, height, width = parts
    return f"{height} x {width} x {depth}"


def feature_table(maps: Maps) -> str:
    """Tabulate the feature maps of encoder and decoder, layer by layer, for each size of input."""
    sides = list(maps)
    head = "| " + " | ".join(["layer", *(f"input {side} x {side}" for side in sides)]) + " |"
    lines = [head, "|---" * (len(sides) + 1) + "|"]
    for part, title in ((0, "encoder"), (1, "decoder")):
        columns = [maps[side][part] for side in sides]
        last = len(columns[0]) - 1
        for number, shapes in enumerate(zip(*columns, strict=True)):
            names = {0: "input" if part == 0 else "latents"}
            if part == 0:
                names |= {last: "linear", last - 1: "flatten"}
            else:
                names |= {1: "linear", 2: "unflatten"}
            step = number if part == 0 else number - 2
            name = names.get(number, f"block {step}")
            lines.append(f"| {title}, {name} | {' | '.join(map(shape, shapes))} |")
    return "\n".join([*lines, ""])


def explain_encoder(maps: Maps) -> str:
    sides = list(maps)
    flat = {side: maps[side][0][-2][0] for side in sides}
    return (
        "`feature_maps.png`; height x width x depth after each block of a 2 x 2 convolution of "
        "stride 2, batch normalisation and ReLU:\n\n"
        f"{feature_table(maps)}\n"
        f"After flattening, {listed({f'{s} x {s}': n for s, n in flat.items()}, 'd')} nodes. A "
        "block halves each side and drops an odd row or column: 224 becomes 112, 56, 28, 14, 7, "
        "3, 1, so that at 7 one row and at 3 another is lost, and the number of nodes is the same "
        "as for 128. Where pooling is asked for, `--variant unpooling` convolves 3 x 3 at the "
        "same size and pools 2 x 2: heights, widths and depths are those of the table."
    )


def explain_decoder(maps: Maps) -> str:
    outputs = {side: shape(decoder[-1]) for side, (_, decoder) in maps.items()}
    return (
        "From the latents a linear layer makes 1,024 nodes, which become 1 x 1 x 1,024, and seven "
        "transposed convolutions of 2 x 2 and stride 2 double each side; see the table above. "
        + " ".join(f"For inputs of {side} the output is {size}." for side, size in outputs.items())
        + " Seven doublings of 1 make 128 whatever the input was, so images of 224 x 224 do not "
        "come back at their size. What would return 224: five halvings instead of seven, with 7 x "
        "7 x 512 = 25,088 nodes to flatten, and five doublings; or an output padding of 1 where 3 "
        "becomes 7 (and 1 becomes 3), which puts back the rows that were dropped."
    )


def explain_course(summary: Mapping[str, Any]) -> str:
    lines = []
    for latent, course in summary["course"].items():
        steps = ", ".join(
            f"{epoch}: {row['train_mse']:.4f} and {row['unseen_mse']:.4f}"
            for epoch, row in course.items()
        )
        lines.append(
            f"- L = {latent}: {steps}. Unseen faces were best after epoch "
            f"{summary['best'][latent]} of {summary['epochs']}."
        )
    last = {latent: max(course) for latent, course in summary["course"].items()}
    ratios = {
        latent: course[last[latent]]["unseen_mse"] / course[last[latent]]["train_mse"]
        for latent, course in summary["course"].items()
    }
    worse = listed({f"L = {latent}": ratio for latent, ratio in ratios.items()}, ".1f")
    gone = [latent for latent, ratio in ratios.items() if ratio > LEARNED]
    return (
        "`course_*.png` shows training and unseen faces after these epochs, `losses.png` all of "
        "them. Squared error a pixel of training and unseen faces, after epoch:\n\n"
        + "\n".join(lines)
        + f"\n\nAt the end an unseen face costs {worse} times as much as one of the training. "
        + (
            f"With L = {', '.join(map(str, gone))} the training succeeds and the test does not: "
            f"from {summary['images']:,} pictures of {people(summary['people'])} the network "
            "learns these faces, and an unseen one is put together from what it knows. "
            + (
                "More epochs did not help what is unseen: it was best long before the end."
                if all(summary["best"][latent] < EARLY * summary["epochs"] for latent in gone)
                else "More epochs still help what is unseen, but much less than what is known."
            )
            if gone
            else "Neither is far from the other yet: so few epochs leave both a blur of the mean "
            "face, or there are pictures enough."
        )
    )


def people(count: int) -> str:
    return "one person, as far as the folders say" if count == 1 else f"{count} people"


def explain_recovered(summary: Mapping[str, Any]) -> str:
    rows = [
        f"| {latent} | {m['train_mse']:.4f} | {m['unseen_mse']:.4f} | {m['train_ssim']:.3f} | "
        f"{m['unseen_ssim']:.3f} | {m['unseen_psnr']:.1f} |"
        for latent, m in summary["models"].items()
    ]
    best = max(summary["models"], key=lambda latent: summary["models"][latent]["unseen_ssim"])
    score = summary["models"][best]["unseen_ssim"]
    how = (
        "of people who are not among the training pictures"
        if summary["several"]
        else "not among the training pictures"
    )
    return (
        f"`recovered.png`: {summary['unseen']} pictures ({' and '.join(summary['expressions'])}), "
        f"{how}.\n\n"
        "| latent units | squared error, training | unseen | SSIM, training | unseen | PSNR, "
        "unseen (dB) |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nUnseen faces are best recovered with L = {best}, SSIM {score:.3f}. "
        + (
            "That is a face in the right light and pose rather than this person's face: identity "
            "is what an unseen face has that the training pictures have not."
            if summary["several"] and score < 0.8
            else "That is close to the pictures themselves."
            if score >= 0.8
            else "Light, pose and outline are there, detail is not."
        )
    )


def explain_clusters(summary: Mapping[str, Any]) -> str:
    rows, sure, separate, visible = [], [], [], []
    for latent, model in summary["models"].items():
        found = model["clusters"]
        p = binomtest(found["right"], found["units"], found["chance"], "greater").pvalue
        sure += [latent] if p * len(summary["models"]) < SURE else []
        separate += [latent] if found["silhouette"] > SEPARATE else []
        visible += [latent] if found["plane"] > VISIBLE else []
        of_people = found.get("silhouette_of_people")
        rows.append(
            f"| {latent} | {found['silhouette']:.3f} | "
            f"{'-' if of_people is None else f'{of_people:.3f}'} | {found['probe']:.1%} | "
            f"{found['plane']:.1%} | "
            f"{found['right']} of {found['units']} | {found['chance']:.1%} | {p:.2g} |"
        )
    way = next(iter(summary["models"].values()))["clusters"]["left_out"]
    first, second = summary["expressions"]
    return (
        f"`latents.png`: all {first} and {second} pictures by PCA and by t-SNE.\n\n"
        f"| latent units | silhouette of expressions | of people | probe, one {way} left out | "
        "probe in PCA's plane | units right | by always the commoner | p |\n"
        "|---|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\n"
        + (
            f"They form clusters with L = {', '.join(map(str, separate))} (silhouette above "
            f"{SEPARATE}). "
            if separate
            else f"They form no clusters with a gap between them (no silhouette above {SEPARATE}): "
            "a network that restores pixels places faces by light, pose and person too. "
        )
        + (
            f"With L = {', '.join(map(str, sure))} a linear probe tells the expression better than "
            "chance, so the latents hold it"
            + (
                f", and with L = {', '.join(map(str, visible))} even PCA's plane shows it, one "
                "expression beside the other: it is among what varies most."
                if visible
                else "."
                if separate
                else ", if in directions in which little varies."
            )
            if sure
            else "A linear probe does not tell the expression better than chance"
            + (", which makes these clusters doubtful." if separate else " either.")
        )
        + " The probe's accuracy is the mean of both expressions'. Pictures of one person with one "
        "expression are alike, so that they count as one unit, right where most of them are; p is "
        "the binomial probability of as many, and counts as small below "
        f"{SURE} over the number of latent sizes. The silhouette compares each picture's distance "
        "to its own group with that to the next, from -1 to 1."
    )


def explain_loss(summary: Mapping[str, Any]) -> str:
    kls = {f"L = {latent}": row["kl"] for latent, row in summary["last"].items()}
    recon = {f"L = {latent}": row["reconstruction"] for latent, row in summary["last"].items()}
    slides = summary["variant"] == "slides"
    return (
        "Squared error between image and reconstruction, plus the KL divergence of the posterior "
        "to N(0, I), which is least where every mean is 0 and every variance 1. The slides sum the "
        "error over pixels and batch, but average the KL over batch and latents: per image it "
        "then weighs 1 / (images x latents) of what the bound asks, next to nothing, so the means "
        "spread and the variances shrink, and the network is an autoencoder with little noise. "
        "The bound sums both over an image: `--loss elbo`. This run used "
        + ("the slides' loss" if slides else "the bound's")
        + f". In the last epoch the error is {listed(recon, ',.0f')} "
        + ("a batch" if slides else "an image")
        + f", the KL {listed(kls, '.2f')} nats "
        + ("a latent." if slides else "an image.")
    )
