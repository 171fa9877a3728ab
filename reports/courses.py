"""The courses for which `notebook` makes a notebook, and their tasks in order."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A study, the name of its data in DATA, what the course calls it, and what it asks for.

    Data whose name ends in a slash are a folder.
    """

    study: str
    data: str
    title: str
    asks: str


@dataclass(frozen=True)
class Course:
    """The name of the submitted files, with places for both identifiers, and the tasks."""

    file: str
    title: str
    tasks: tuple[Task, ...]


COURSES = {
    "wet2": Course(
        "ee046202_wet2_{}_{}",
        "Beta-VAE, conditional VAE, and clustering",
        (
            Task(
                "beta_vae",
                "mnist",
                "Part 1: the beta-VAE",
                "Weight the KL term of a VAE of MNIST with beta. Train it with four betas, show "
                "the losses, the reconstructions and samples, and compare.",
            ),
            Task(
                "cvae",
                "fashion",
                "Part 2: the conditional VAE",
                "Give the class to the encoder and the decoder of a VAE of Fashion-MNIST. Draw "
                "samples of chosen classes, and interpolate within a class.",
            ),
            Task(
                "pokemon",
                "pokemon",
                "Bonus: Pokemon in grey",
                "Generate Pokemon of a given type with fully connected layers, in grey.",
            ),
            Task(
                "pokemon_cnn",
                "pokemon",
                "Bonus: Pokemon in colour",
                "Do the same in colour, with convolutional layers.",
            ),
            Task(
                "segment",
                "image/",
                "Parts 3 and 4: spectral clustering and k-means",
                "Run the demonstration of spectral clustering and explain its graph. Then divide "
                "the logo and the hero with k-means and with spectral clustering, tune both, and "
                "compare the methods and the images.",
            ),
        ),
    ),
    "celeba": Course(
        "hw4_vae_{}_{}",
        "Assignment 4: variational autoencoders of faces",
        (
            Task(
                "celeba",
                "celeba",
                "CelebA",
                "Explain and derive the VAE. Build a convolutional one for faces, train it with a "
                "few latents and with many, and use it to reconstruct, to generate and to "
                "interpolate faces.",
            ),
        ),
    ),
    "5lsl0": Course(
        "5lsl0_autoencoders_{}_{}",
        "Deterministic and variational autoencoders",
        (
            Task(
                "latent_study",
                "mnist",
                "Exercises 1 to 6",
                "Train an autoencoder with two latents on MNIST. Look at its latent space, "
                "classify with it, turn its encoder into a classifier, and decode a grid of "
                "latents. Then do the same with a VAE, and compare.",
            ),
        ),
    ),
    "hw5": Course(
        "hw5_faces_{}_{}",
        "Assignment 5: autoencoders of facial expressions",
        (
            Task(
                "faces_ae",
                "faces",
                "HW5 (1): the autoencoder",
                "Train an autoencoder of facial expressions with 20, 30 and 50 latents. Recover "
                "unseen happy and angry faces, and look for clusters among the latents.",
            ),
            Task(
                "faces_vae",
                "faces",
                "HW5 (2): the variational autoencoder",
                "Do the same with a variational autoencoder.",
            ),
        ),
    ),
}
