"""Answers to the CelebA assignment's questions, with the numbers of a run of `celeba`."""

from collections.abc import Mapping
from typing import Any

from studies.shared.answers import listed
from studies.shared.runner import Answer

QUESTIONS = (
    "1a",
    "1b",
    "1c",
    "2a",
    "2b",
    "2c",
    "3a",
    "3b",
    "4d",
    "5b, curves",
    "5b, reconstructions",
    "5c, curves",
    "5c, reconstructions",
    "5c, dimension",
    "5c, blur",
    "6, few latents",
    "6, many latents",
    "6, difference",
    "7",
)
FAITHFUL = 0.7  # above this SSIM, strong edges are those of the face
BLURRED = 0.9  # share of the real faces' sharpness; less counts as blurred
FAR = 10  # nats of prior gap above which samples from the prior miss the codes of faces
LEVEL = 0.03  # a loss is level if a fifth of the epochs brings a smaller share of its fall
BETTER = 0.1  # training faces are known better if held-out faces cost more by a larger share
GAIN = 0.01  # with a smaller difference in SSIM, two models reconstruct equally well
VARIED = 0.25  # share of the real diversity; with less, generated faces are all alike


def answers(summary: Mapping[str, Any]) -> list[Answer]:
    """Answer each of `QUESTIONS`. Few and many latents are the run's fewest and most."""
    few, many = min(summary["models"]), max(summary["models"])
    texts = {
        "1a": ("How does a VAE differ from a plain autoencoder?", KINDS_OF_AUTOENCODERS),
        "1b": ("How is a VAE trained?", TRAINING),
        "1c": ("What do GANs and VAEs aim at, and which suits what?", GANS),
        "2a": ("Which transformations of the images suit this?", explain_data(summary)),
        "2b": ("What do 32 random faces show?", DATA),
        "2c": ("Does mixing images by their pixels make sense?", explain_pixels(summary)),
        "3a": ("What do the two terms of the bound mean as a loss?", TERMS),
        "3b": ("Why is the KL divergence to N(0, 1) what it is?", DERIVATION),
        "4d": ("What is beta for?", explain_beta(summary)),
        "5b, curves": ("What do the losses show with few latents?", explain_curves(summary, few)),
        "5b, reconstructions": (
            "Are held-out faces reconstructed with few latents?",
            explain_reconstructions(summary, few),
        ),
        "5c, curves": ("And with many?", explain_curves(summary, many)),
        "5c, reconstructions": (
            "Are they reconstructed with many latents, and identical?",
            explain_more(summary, few, many),
        ),
        "5c, dimension": (
            "What if the latent space had very many dimensions?",
            explain_dimension(summary, many),
        ),
        "5c, blur": ("Are the reconstructions blurred, and why?", explain_blur(summary)),
        "6, few latents": (
            "How diverse are faces generated from few latents?",
            explain_faces(summary, few),
        ),
        "6, many latents": (
            "What do faces generated from many latents show?",
            explain_faces(summary, many),
        ),
        "6, difference": ("How do the two differ?", explain_difference(summary, few, many)),
        "7": ("What happens between two latents?", explain_latents(summary)),
    }
    return [Answer(name, *texts[name]) for name in QUESTIONS]


KINDS_OF_AUTOENCODERS = (
    "An autoencoder maps an image to one point and that point back to the image, and is judged by "
    "the reconstruction alone. Where no image was mapped to, its decoder was never told what to "
    "do. A VAE maps an image to a distribution, here a Gaussian with a mean and a variance for "
    "each latent, decodes a draw from it, and pays for every nat by which this distribution "
    "departs from N(0, I). So neighbours must decode alike, the whole neighbourhood of 0 is used, "
    "and a draw from N(0, I) can be decoded to a new image."
)
TRAINING = (
    "Without labels: the image is its own target. The encoder gives mu and log sigma squared, z is "
    "mu plus sigma times a draw from N(0, I), which lets the gradient pass to mu and sigma, and "
    "the decoder reconstructs the image from z. Encoder and decoder are trained together, by "
    "stochastic gradients, to minimise the negative evidence lower bound: the expected "
    "reconstruction error, and the KL divergence from the posterior to the prior."
)
GANS = (
    "A VAE maximises a bound on the likelihood of the data: every training image must be "
    "explained, and each has a place in z. A GAN has no likelihood and no encoder; its generator "
    "is trained to make images that a second network cannot tell from real ones, so it may leave "
    "out what it cannot draw. Where an image's code or likelihood matters, as in finding "
    "anomalies, compressing, or editing a given photograph, a VAE suits better; where only the "
    "look of new images counts, as in sharp portraits or a higher resolution, a GAN does."
)
DATA = (
    "`data.png`: aligned portraits, eyes at the same height in all; what varies is pose, lighting, "
    "background, hair, age, glasses, hats. The alignment is a help: position need not be encoded."
)
TERMS = (
    "The expected log-likelihood of the image under the decoder is, with its sign turned, a "
    "reconstruction error: cross-entropy for pixels seen as probabilities, squared error for "
    "Gaussian pixels. The KL divergence is a regulariser: it is 0 where the encoder says nothing "
    "(the posterior is the prior) and grows with what it says about the image, so it counts the "
    "nats that z carries, and keeps the codes where the prior's draws fall."
)
DERIVATION = (
    "`docs/kl.md` derives it: -KL(N(m, s^2) || N(0, 1)) = (1 + log s^2 - s^2 - m^2) / 2. Under q, "
    "the mean of log q is -(1 + log(2 pi s^2)) / 2, that of log p is -(log(2 pi) + s^2 + m^2) / 2, "
    "and the result is the second less the first. A test compares it with draws."
)


def explain_data(summary: Mapping[str, Any]) -> str:
    height, width = summary["size"]
    return (
        f"Decoding to numbers in [0, 1], and one size for all, {height} x {width} here; an image "
        "of other proportions loses its border rather than being stretched. Not centred to mean 0: "
        "the decoder ends in a sigmoid, and the cross-entropy wants [0, 1]. Mirroring would double "
        "the data, but it was left out, so that all figures are of the images as they are. "
        f"{summary['images']:,} train, {summary['held_out']:,} judge."
    )


def explain_pixels(summary: Mapping[str, Any]) -> str:
    found, usual = summary["interpolation"], summary["nearest_of_real_faces"]
    pixels, latent = found["pixels"], found["latent"]
    nearer = "farther than" if pixels > usual else "no farther than"
    known = summary["known"]
    verdict = (
        "That nearness says little: an average of two images is near everything and looks like "
        "nothing."
        if pixels <= usual
        else "It is no face that anyone has."
    )
    return (
        "No: a weighted sum of two faces is one photograph seen through another, with two sets of "
        "eyes and outlines, since an image is no sum of images. The set of faces is curved, and "
        "the straight line between two of its points leaves it. Half way, the mixture's distance "
        f"to the nearest of {known:,} training faces is {pixels:.3f} a pixel, the mean over pairs, "
        f"{nearer} that of a real face ({usual:.3f}); the decoded half way of z is {latent:.3f} "
        f"away. {verdict} Beyond the two "
        f"images it is no longer an image at all: with alpha = 2, {found['outside']:.0%} of the "
        "values leave [0, 1]."
    )


def explain_beta(summary: Mapping[str, Any]) -> str:
    last = summary["last"]
    many = max(last)
    share = summary["beta"] * last[many]["kl"] / last[many]["loss"]
    weights = summary["initial_weights"]
    chosen, one = next(iter(weights)), next(reversed(weights))
    return (
        "Beta is the price of a nat in z. At 1 the loss is the bound on the likelihood. Below 1, z "
        "may say more and reconstructions gain, while codes stray from the prior and its draws "
        "suffer; above 1, the codes are drawn together, latents are given up or made independent, "
        f"and the decoder answers with averages. Beta is {summary['beta']:g} here, and at the end "
        f"of training with {many} latents the KL term makes {share:.1%} of the loss. The weights "
        f"matter before: drawn with a standard deviation of {chosen}, an untrained network leaves "
        f"{weights[chosen]['stuck']:.0%} of pixels where the sigmoid is flat and costs "
        f"{weights[chosen]['reconstruction']:,.0f} {summary['unit']} an image; with 1, as "
        f"published, {weights[one]['stuck']:.0%} and {weights[one]['reconstruction']:,.0f} "
        "(`initial_weights.png`)."
    )


def explain_end(late: float) -> str:
    """Say in words how training ended.

    `late`: the share of the held-out loss's fall that the last fifth of the epochs brought.
    """
    if late < -LEVEL:
        return (
            f"In the last fifth of the epochs the held-out loss rose, by {-late:.0%} of its fall "
            "before, while that in training went on falling: fewer epochs would be better. "
        )
    return f"The last fifth of the epochs brought {late:.0%} of the fall on held-out faces: " + (
        "it has levelled off. " if late < LEVEL else "more epochs would bring more. "
    )


def explain_curves(summary: Mapping[str, Any], latent: int) -> str:
    first, last = summary["first"][latent], summary["last"][latent]
    model, late = summary["models"][latent], summary["late"][latent]
    form = ",.0f" if summary["unit"] == "nats" else ",.1f"
    gap = model["mse"] / model["train_mse"] - 1
    text = (
        f"With L = {latent}, over {summary['epochs']} epochs, the loss goes from "
        f"{first['loss']:{form}} to {last['loss']:{form}} in training and from "
        f"{first['held_out_loss']:{form}} to {last['held_out_loss']:{form}} on held-out faces. "
        + explain_end(late)
        + f"The KL goes from {first['kl']:.1f} to {last['kl']:.1f} nats. At the end the squared "
        f"error a pixel is {model['train_mse']:.4f} on training and {model['mse']:.4f} on "
        f"held-out faces ({gap:+.0%}): "
        + (
            "the network knows the training faces better than others."
            if gap > BETTER
            else "the network does not learn the training faces by heart."
        )
    )
    if summary["unit"] != "nats":
        return text
    return text + (
        " The losses are large numbers with a small range, since even a perfect reconstruction "
        "costs the entropy of pixels that are neither black nor white."
    )


def kept(model: Mapping[str, Any]) -> str:
    """List the shares of the variation between faces that survive at each scale, in words."""
    return listed({name: max(0.0, share) for name, share in model["kept"].items()}, ".0%")


def explain_reconstructions(summary: Mapping[str, Any], latent: int) -> str:
    model = summary["models"][latent]
    survives = [name for name, share in model["kept"].items() if share > 0.5]
    lost = [name for name, share in model["kept"].items() if share <= 0.5]
    return (
        f"With L = {latent}: SSIM {model['ssim']:.3f}, PSNR {model['psnr']:.1f} dB, squared error "
        f"{model['mse']:.4f} a pixel on {summary['held_out']:,} held-out faces. Of the variation "
        f"between faces, these shares survive, from coarse to fine: {kept(model)}. "
        + (f"More than half is kept of: {', '.join(survives)}. " if survives else "")
        + (f"More is lost than kept of: {', '.join(lost)}." if lost else "")
    )


def explain_more(summary: Mapping[str, Any], few: int, many: int) -> str:
    before, after = summary["models"][few], summary["models"][many]
    if few == many:
        return explain_reconstructions(summary, many) + " One size of z was trained only."
    better = after["ssim"] > before["ssim"] + GAIN
    return (
        f"{explain_reconstructions(summary, many)} Against L = {few}, SSIM changes by "
        f"{after['ssim'] - before['ssim']:+.3f} and PSNR by {after['psnr'] - before['psnr']:+.1f} "
        "dB: "
        + (
            "more numbers let z tell one person from another. "
            if better
            else "the larger z was not put to use, which more epochs may change. "
        )
        + "Identical they are not: an SSIM below 1 says so, and the finest scale is where it shows."
    )


def explain_dimension(summary: Mapping[str, Any], many: int) -> str:
    model = summary["models"][many]
    active, used = model["active_units"], model["active_units"] / many
    return (
        f"Of {many} latents {active} depend on the image (their means vary by more than 0.01); "
        f"together they carry {model['kl']:.0f} nats. "
        + (
            "The others have stayed at the prior: what they could tell is worth less than its "
            "price. More of them would stay there too, and cost weights and time only. "
            if used < 0.9
            else "So there was use for nearly all of them, and more would find some: "
            "reconstructions would gain, each further latent less than the one before, until new "
            "ones stay at the prior because what they tell is worth less than its price. "
        )
        + "Without the KL term the network would come near to copying its input, and draws from "
        "the prior would decode to nothing: codes would fill a vanishing part of the space. With "
        "it, faces drawn from the prior still suffer, for the more latents there are, the more "
        "ways there are to combine values that no real face combines."
    )


def explain_blur(summary: Mapping[str, Any]) -> str:
    sharp = {
        f"L = {latent}": model["sharpness_of_reconstructions"]
        for latent, model in summary["models"].items()
    }
    text = f"Edges are this strong, as a share of the real faces': {listed(sharp)}. "
    sharpest = max(summary["models"].values(), key=lambda m: m["sharpness_of_reconstructions"])
    if max(sharp.values()) > BLURRED:
        return text + (
            "At least one model's edges are as strong as real ones, relative to how much its "
            f"images vary; with an SSIM of {sharpest['ssim']:.2f} "
            + ("that is detail." if sharpest["ssim"] > FAITHFUL else "that is noise, not detail.")
        )
    return text + (
        "So yes, they are blurred. z cannot say where each hair lies, so many images fit it, and "
        "a loss that adds up over pixels is least at their mean, which is smooth; z itself is "
        "drawn, and the decoder must answer for all its draws at once. Strides throw positions "
        "away before that, and the KL makes each further detail cost."
    )


def explain_faces(summary: Mapping[str, Any], latent: int) -> str:
    model, real = summary["models"][latent], summary["diversity_of_real_faces"]
    usual = summary["nearest_of_real_faces"]
    return (
        f"With L = {latent}: two faces drawn from the prior differ by "
        f"{model['diversity_prior']:.3f} a pixel (root mean square at 32 x 32), from a Gaussian "
        f"fitted to the codes of training faces by {model['diversity_fitted']:.3f}, real faces by "
        f"{real:.3f}: {model['diversity_prior'] / real:.0%} and "
        f"{model['diversity_fitted'] / real:.0%} of the real diversity. A generated face is "
        f"{model['nearest_prior']:.3f} (prior) or {model['nearest_fitted']:.3f} (fitted) from the "
        f"nearest training face, a held-out face {usual:.3f}. They vary in what reconstructions "
        f"keep: {kept(model)}. A draw from the prior is {model['prior_gap']:.1f} nats likelier as "
        "one than as the code of a real face (the KL divergence of the prior to the Gaussian "
        "fitted to such codes), "
        + (
            "so the prior's draws mostly lie where no face was ever encoded, and the decoder was "
            f"never told what is there: `faces_{latent}_fitted.png` is the picture to look at."
            if model["prior_gap"] > FAR
            else "so the prior's draws lie among the codes of faces."
        )
    )


def explain_difference(summary: Mapping[str, Any], few: int, many: int) -> str:
    before, after = summary["models"][few], summary["models"][many]
    if few == many:
        return "One size of z was trained only; `--latents 3 --latents 100` compares two."
    wider = "more" if after["diversity_fitted"] > before["diversity_fitted"] else "no more"
    return (
        f"L = {many} gives {wider} diverse faces ({after['diversity_fitted']:.3f} against "
        f"{before['diversity_fitted']:.3f}), with {after['kl']:.0f} nats about a face against "
        f"{before['kl']:.0f}. With {few} numbers each face is one of a small family, whole and "
        f"average; with {many} the parts vary by themselves, and the price is that some do not go "
        "together, above all in draws from the prior."
    )


def explain_latents(summary: Mapping[str, Any]) -> str:
    found, usual = summary["interpolation"], summary["nearest_of_real_faces"]
    latent, pixels = found["latent"], found["pixels"]
    varied = any(
        m["diversity_prior"] > VARIED * summary["diversity_of_real_faces"]
        for m in summary["models"].values()
    )
    missed = [latent for latent, m in summary["models"].items() if m["prior_gap"] > FAR]
    return (
        "`interpolation_*.png`, three pairs a model: "
        + (
            "every step decodes to one face that changes gradually in pose, colour, hair and "
            "background, and not to two faces on top of each other. "
            if varied
            else "the decoded faces hardly differ from one another, so there is little to see "
            "between them; the decoder makes hardly any use of z yet. "
        )
        + (
            f"With L = {', '.join(map(str, missed))} that is not so: draws from the prior lie far "
            "from the codes of faces, few of them decode to a face, and what lies between them "
            "neither. There it takes the codes of two faces. "
            if missed
            else ""
        )
        + "Between pairs of held-out faces (`interpolation_of_faces.png`) the decoded middle is "
        f"{latent:.3f} from the nearest training face, the mixture of pixels {pixels:.3f}, a real "
        f"face {usual:.3f}. "
        + (
            "The decoded one is nearer to a real face. "
            if latent < pixels
            else "By this measure the mixture is nearer, for it is an average, and near to all; "
            "the eye says otherwise. "
        )
        + "What makes it work is the KL term: it has filled the space between the codes. The "
        "middle of two draws is nearer to 0 than they are, where the faces are more average."
    )
