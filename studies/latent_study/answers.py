"""Answers to the autoencoder assignment's questions, from the numbers of a `latent_study` run."""

from collections.abc import Mapping
from typing import Any

from studies.shared.answers import listed
from studies.shared.runner import Answer

QUESTIONS = (
    "1",
    "2a",
    "2b",
    "2c",
    "3a",
    "3b",
    "3c",
    "4a",
    "4b",
    "4c",
    "5a",
    "5b",
    "6a",
    "6b",
    "6c",
    "6d",
)
CLEAR = 0.7  # a class counts as a cluster if its nearest-neighbour accuracy is at least this
SOLVED = 0.995  # above this accuracy, the capacity counts as enough
FILLED = 0.8  # codes fill the prior if a larger share of its equal-probability cells holds some
CONFUSED = 0.1  # two classes overlap if at least this share of their images is confused


def answers(summary: Mapping[str, Any]) -> list[Answer]:
    """Return an answer to each of `QUESTIONS`."""
    texts = {
        "1": ("How do the reconstructions differ from the images?", explain_errors(summary)),
        "2a": ("Where do all images lie?", explain_plane(summary)),
        "2b": ("Which classes cluster, which overlap, and why?", explain_overlaps(summary)),
        "2c": ("Why are points clipped at zero?", explain_clipping(summary)),
        "3a": ("How well does the nearest neighbour classify?", explain_neighbours(summary)),
        "3b": (
            "How many would be right by chance, and which classes stand out?",
            explain_chance(summary),
        ),
        "3c": ("Which loss would suit classification?", LOSS),
        "4a": ("How accurate is the encoder as a classifier?", explain_classifier(summary)),
        "4b": ("What do its losses say of its capacity?", explain_capacity(summary)),
        "4c": ("What would improve it?", explain_improvement(summary)),
        "5a": ("What does the decoder draw over the plane?", GRID),
        "5b": ("What is recognised where, and why?", explain_recognised(summary)),
        "6a": ("How is the VAE made?", explain_vae(summary)),
        "6b": ("How do the two planes differ?", explain_planes(summary)),
        "6c": ("What does the VAE's decoder draw over its plane?", explain_vae_grid(summary)),
        "6d": ("How do the two grids differ, and why?", explain_grids(summary)),
    }
    return [Answer(name, *texts[name]) for name in QUESTIONS]


LOSS = (
    "The cross-entropy between the class and a softmax over one output for each: minus the "
    "logarithm of the probability that the network gives the right class. Squared error of the "
    "pixels rewards what strokes have in common, and says nothing about which class they form."
)

GRID = (
    "`grid_autoencoder.png`, 15 x 15 equidistant points from the least to the greatest value of "
    "each latent, each image centred at its point, on the axes of the scatter; "
    "`plane_autoencoder.png` has both beside each other."
)


def explain_errors(summary: Mapping[str, Any]) -> str:
    model, losses = summary["models"]["autoencoder"], summary["losses"]["autoencoder"]
    attempts = summary["attempts"]
    return (
        "`reconstructions_autoencoder.png` and `loss.png`. Place, size and slant of the ink come "
        "back, and the class where its shape is common; thin strokes, gaps and unusual forms "
        "become a smooth blend of similar images, since two numbers cannot tell them apart and "
        f"the mean of all that fit costs least. The squared error is {model['test_mse']:.4f} a "
        f"pixel on {summary['held_out']:,} test images and {model['train_mse']:.4f} on "
        f"{summary['images']:,} training images; two principal components leave "
        f"{summary['pca_mse']:.4f}. Over {summary['epochs']} epochs the loss, a pixel of the "
        f"padded image, went from {losses['first']['loss']:.4f} to {losses['last']['loss']:.4f}. "
        "Images of 28 x 28 are padded to 32 x 32, because a side that is halved five times must "
        "be a power of two. The last layer is upsampled too, as the assignment wants for every "
        "layer, so the finest thing drawn is two pixels wide. "
        + (
            "Both latents lived at the first attempt: weights were scaled so that every ReLU "
            "starts with inputs on both sides of 0."
            if attempts == 1
            else f"It took {attempts} attempts, since in the ones before a ReLU died (its input "
            "was below 0 for all images, so no gradient reached what is before it); this is "
            "noticed after each epoch, and the training begun anew with other weights."
        )
    )


def explain_plane(summary: Mapping[str, Any]) -> str:
    model = summary["models"]["autoencoder"]
    (left, right), (low, high) = model["range"]
    return (
        f"`latents_autoencoder.png`: {summary['images']:,} images, z1 from {left:.1f} to "
        f"{right:.1f}, z2 from {low:.1f} to {high:.1f}, none below 0. Of a 15 x 15 grid over this "
        f"range {model['occupied']:.0%} of the cells hold an image, and the fullest tenth of the "
        f"cells holds {model['densest']:.0%} of them."
    )


def explain_overlaps(summary: Mapping[str, Any]) -> str:
    found = summary["all"]
    clear = {n: c["accuracy"] for n, c in found["classes"].items() if c["accuracy"] >= CLEAR}
    ordered = sorted(found["classes"], key=lambda name: -found["classes"][name]["accuracy"])
    overlapping = {n: share for n, share in found["overlaps"].items() if share >= CONFUSED}
    return (
        "Measured by whether an image's nearest neighbour in the plane has its class. "
        + (
            f"Clear clusters (at least {CLEAR:.0%}): {listed(clear, '.0%')}. "
            if clear
            else f"No class reaches {CLEAR:.0%}; the best are {', '.join(ordered[:2])}. "
        )
        + (
            f"Overlapping pairs, by the share of their images that are taken for the other: "
            f"{listed(overlapping, '.0%')}. "
            if overlapping
            else "No pair is taken for each other in more than a tenth of cases; the closest are "
            f"{listed(found['overlaps'], '.0%')}. "
        )
        + "The network was asked to restore pixels and never told a class, so what shares its ink "
        "shares its place: classes of a shape of their own lie apart, classes that differ by one "
        "stroke lie on each other. `confusion.png` counts all pairs."
    )


def explain_clipping(summary: Mapping[str, Any]) -> str:
    model = summary["models"]["autoencoder"]
    first, second = model["clipped"]
    most = max(model["clipped_by_class"], key=model["clipped_by_class"].get)
    if not first + second:
        return (
            "In this run no point is: training has kept every input of the last ReLU above 0. It "
            "maps negative inputs to 0, so images for which the network would want less than "
            "nothing would all end on an axis."
        )
    return (
        f"{first:.1%} of the images have z1 = 0, {second:.1%} z2 = 0, {model['clipped_both']:.1%} "
        f"both; of class {most} {model['clipped_by_class'][most]:.1%} have one of them. The "
        "encoder ends in a ReLU, which maps every negative input to 0, and the pooling behind it "
        "keeps the larger of two such values, so 0 remains where both were negative. Images for "
        "which the network would want less than nothing all end on an axis, where they can no "
        "longer be told apart along it. A ReLU with nothing but negative inputs is dead: all "
        "points would lie on a line."
    )


def table(found: Mapping[str, Any]) -> str:
    lines = [
        "| class | images | right | accuracy | 95 % interval | by chance | against the rest |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found["classes"].items():
        low, high = row["interval"]
        lines.append(
            f"| {name} | {row['number']} | {row['right']} | {row['accuracy']:.1%} | "
            f"{low:.1%} to {high:.1%} | {row['random']:.1%} | {row['verdict']} |"
        )
    return "\n".join(lines)


def explain_neighbours(summary: Mapping[str, Any]) -> str:
    parts = []
    first, everything = summary["first"], summary["all"]
    whole = {f"all {everything['number']:,}": everything}
    if first["number"] < everything["number"]:
        whole = {f"the first {first['number']:,}": first} | whole
    for which, found in whole.items():
        low, high = found["interval"]
        parts.append(
            f"Of {which} test images {found['right']:,} are right, {found['accuracy']:.1%} "
            f"({low:.1%} to {high:.1%}).\n\n{table(found)}"
        )
    return "\n\n".join(parts)


def explain_chance(summary: Mapping[str, Any]) -> str:
    first, everything = summary["first"], summary["all"]
    groups = {
        verdict: [n for n, row in everything["classes"].items() if row["verdict"] == verdict]
        for verdict in ("better", "worse", "as the rest")
    }
    names = {verdict: ", ".join(group) or "none" for verdict, group in groups.items()}
    chance = first["random"]
    above = first["interval"][0] > chance
    return (
        f"A random point's nearest neighbour has the class with that class's share of the "
        f"training images, so {chance * first['number']:.0f} of {first['number']:,} "
        f"({chance:.1%}) would be right. {first['right']:,} are: "
        + ("far outside chance. " if above else "chance explains that. ")
        + f"On all {everything['number']:,} test images, by Fisher's exact test of each class "
        f"against the rest, with Holm's correction for {len(everything['classes'])} tests at 5 %: "
        f"better: {names['better']}; worse: {names['worse']}; no difference shown: "
        f"{names['as the rest']}. In the scatter the better ones are those with a region of their "
        "own, the worse ones those under which others lie (2b). "
        f"{summary['models']['autoencoder']['clipped_both']:.1%} of the training images share the "
        "place (0, 0); among such equals the neighbour is arbitrary."
    )


def explain_classifier(summary: Mapping[str, Any]) -> str:
    found, better = summary["classifier"], summary["improvement"]
    return (
        "Last convolution, ReLU and pooling replaced by a dense layer on the 16 x 2 x 2 features, "
        f"cross-entropy, the same images: {found['last']['test_accuracy']:.2%} of the test images "
        f"are right, with {found['parameters']:,} parameters, against "
        f"{summary['all']['accuracy']:.1%} by the nearest neighbour in the autoencoder's plane. "
        f"With the improvement of 4c: {better['last']['test_accuracy']:.2%}."
    )


def explain_capacity(summary: Mapping[str, Any]) -> str:
    last, best = summary["classifier"]["last"], summary["classifier"]["best"]
    ratio = last["test_loss"] / max(last["train_loss"], 1e-9)
    over = summary["improvement"]["change"] == "distorted"
    return (
        "`classifier.png`, evaluated after every epoch, on as many training as test images. At "
        f"the end the loss is {last['train_loss']:.4f} in training and {last['test_loss']:.4f} in "
        f"the test ({ratio:.1f} times), the accuracy {last['train_accuracy']:.2%} and "
        f"{last['test_accuracy']:.2%}. The test loss was lowest, {best['loss']:.4f}, after epoch "
        f"{best['epoch']} of {summary['epochs']}. "
        + (
            "The gap means that the network has more capacity than the images teach it to use "
            "well: it overfits."
            if over
            else "There is hardly a gap, and hardly an error: the capacity is enough."
            if last["test_accuracy"] > SOLVED
            else "There is hardly a gap, so what is missing is capacity or training: it underfits."
        )
    )


def explain_improvement(summary: Mapping[str, Any]) -> str:
    before, after = summary["classifier"]["last"], summary["improvement"]["last"]
    change = summary["improvement"]["change"]
    gained = after["test_accuracy"] - before["test_accuracy"]
    what = (
        "training images that are rotated, sheared, scaled and shifted a little at random at "
        "every step, since it overfits"
        if change == "distorted"
        else "32 filters instead of 16, since it underfits"
    )
    return (
        "Against overfitting: more images or distorted ones, weight decay, dropout, fewer "
        "filters, stopping early. Against underfitting: more filters or layers, longer training, "
        f"a better learning rate. Tried here: {what}. The test accuracy goes from "
        f"{before['test_accuracy']:.2%} to {after['test_accuracy']:.2%}, the test loss from "
        f"{before['test_loss']:.4f} to {after['test_loss']:.4f}, the training loss from "
        f"{before['train_loss']:.4f} to {after['train_loss']:.4f}. "
        + ("That helped." if gained > 0 else "That did not help in this run.")
    )


def seen(grid: Mapping[str, Any]) -> str:
    """Describe in words what a classifier sees in a grid."""
    classes = {name: count for name, count in grid["classes"].items() if count}
    missing = [name for name, count in grid["classes"].items() if not count]
    text = f"A classifier is sure (above 0.9) of {grid['recognised']:.0%} of the cells: "
    text += ", ".join(f"{name} in {count}" for name, count in classes.items()) or "none"
    return text + (f"; never {', '.join(missing)}" if missing else "; every class occurs")


def explain_recognised(summary: Mapping[str, Any]) -> str:
    grid = summary["grids"]["autoencoder"]
    left, right = grid["ink_left_to_right"]
    bottom, top = grid["ink_bottom_to_top"]
    empty = grid["recognised_empty"]
    return (
        f"{seen(grid)}. From left to right along the middle it sees "
        f"{' '.join(grid['left_to_right'])}, from bottom to top {' '.join(grid['bottom_to_top'])}; "
        f"the mean brightness goes from {left:.2f} to {right:.2f} and from {bottom:.2f} to "
        f"{top:.2f}. {grid['occupied']:.0%} of the cells hold codes of training images; there "
        f"{grid['recognised_occupied']:.0%} are recognised"
        + ("" if empty is None else f", elsewhere {empty:.0%}")
        + ". Where training images lie, the decoder was taught what to draw; between and beyond "
        "them it continues its piecewise linear function, and brightness grows or strokes of "
        "different classes are added up. A classifier that must choose can be sure of such an "
        f"image too, so the distance counts more: the mean cell is {grid['distance']:.3f} a pixel "
        f"(root mean square) from the nearest training image, a test image "
        f"{summary['real_distance']:.3f}."
    )


def explain_vae(summary: Mapping[str, Any]) -> str:
    losses = summary["losses"]["vae"]
    first, last = losses["first"], losses["last"]
    return (
        "Two strided convolutions and a dense layer give the mean and the log-variance of z, two "
        "numbers each; z is the mean plus a draw from N(0, I) times the standard deviation, which "
        "is the exponential of half the log-variance; the decoder mirrors the encoder. The loss "
        "is the squared error of an image, summed over its pixels, plus the KL divergence of the "
        f"posterior to N(0, I), weighted by beta = {summary['beta']:g}. In {summary['epochs']} "
        f"epochs the first went from {first['reconstruction']:.1f} to "
        f"{last['reconstruction']:.1f}, the second from {first['kl']:.1f} to {last['kl']:.1f} "
        "nats (`vae_loss.png`). `latents_vae.png` shows the means of all training images."
    )


def explain_planes(summary: Mapping[str, Any]) -> str:
    plain, vae = summary["models"]["autoencoder"], summary["models"]["vae"]
    (a, b), (c, d) = vae["mean"], vae["deviation"]
    return (
        "| | autoencoder | VAE |\n|---|---|---|\n"
        f"| cells of a 15 x 15 grid that hold an image | {plain['occupied']:.0%} | "
        f"{vae['occupied']:.0%} |\n"
        f"| images in the fullest tenth of cells | {plain['densest']:.0%} | "
        f"{vae['densest']:.0%} |\n"
        f"| nearest neighbour right, test | {summary['all']['accuracy']:.1%} | "
        f"{summary['vae_all']['accuracy']:.1%} |\n"
        f"| squared error a pixel, test | {plain['test_mse']:.4f} | {vae['test_mse']:.4f} |\n\n"
        f"The VAE's means lie around ({a:.2f}, {b:.2f}) with standard deviations {c:.2f} and "
        f"{d:.2f}, on all sides of 0: the KL term asks for the place and scale of N(0, I). The "
        "autoencoder's scale is whatever training made it, and its points are at 0 or above. The "
        "main difference is not in the figure: each image of the VAE is a small cloud around its "
        "mean, so neighbours must decode alike, and what lies between classes was decoded in "
        "training too. The networks differ as well, for the restrictions hold for the first only."
    )


def explain_vae_grid(summary: Mapping[str, Any]) -> str:
    by_range, by_quantiles = summary["grids"]["vae"], summary["grids"]["quantiles"]
    return (
        f"`grid_vae.png`, over the range of the means: {seen(by_range)}. "
        "`grid_vae_quantiles.png`, at points that cut N(0, 1) into 15 equal parts along each "
        f"latent: {seen(by_quantiles)}."
    )


def explain_grids(summary: Mapping[str, Any]) -> str:
    grids = summary["grids"]
    plain, vae, quantiles = grids["autoencoder"], grids["vae"], grids["quantiles"]
    rows = [
        f"| {title} | {plain[key]:{form}} | {vae[key]:{form}} | {quantiles[key]:{form}} |"
        for title, key, form in (
            ("cells recognised", "recognised", ".0%"),
            ("distance to the nearest training image, a pixel", "distance", ".3f"),
            ("cells that hold codes", "occupied", ".0%"),
        )
    ]
    nearer = quantiles["distance"] < plain["distance"]
    return (
        "| | autoencoder | VAE, range | VAE, quantiles |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nA test image is {summary['real_distance']:.3f} from its nearest training image. "
        + (
            "The VAE's cells are nearer to real images, and change smoothly from one class to the "
            "next: it was trained on draws around every code"
            + (
                ", and its codes fill the region from which one samples. "
                if quantiles["occupied"] > FILLED
                else f"; but its codes fill only {quantiles['occupied']:.0%} of the region from "
                "which one samples, which is little training or a dear KL. "
            )
            if nearer
            else "By this measure the VAE's cells are no nearer to real images in this run. "
        )
        + "Of the autoencoder nobody asked what lies between its codes, and it has no "
        "distribution to sample from: a grid over its range visits places that no image maps to. "
        "A VAE is a generative model: draw z from N(0, I), decode."
    )
