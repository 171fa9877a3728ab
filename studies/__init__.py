"""The modes other than the graded ones and the reports: a folder for each study."""

MODES = {
    "demo_data": (
        "KIND",
        "OUT_DIR",
        "studies.demo_data.writers.demo_data",
        "write data that need no download; "
        "KIND: digits, mnist, fashion, pokemon, celeba, faces, image",
    ),
    "beta_vae": (
        "DATA",
        "OUT_DIR",
        "studies.beta_vae.study.beta_vae",
        "the same VAE under several weights of its KL term",
    ),
    "cvae": (
        "DATA",
        "OUT_DIR",
        "studies.cvae.study.cvae",
        "a VAE that is told the class of the image to draw",
    ),
    "pokemon": (
        "DATA",
        "OUT_DIR",
        "studies.pokemon.study.pokemon",
        "new Pokemon of a type, in grey, by a fully connected VAE",
    ),
    "pokemon_cnn": (
        "DATA",
        "OUT_DIR",
        "studies.pokemon.study.pokemon_cnn",
        "new Pokemon of a type, in colour, by a convolutional VAE",
    ),
    "latent_study": (
        "DATA",
        "OUT_DIR",
        "studies.latent_study.study.latent_study",
        "an autoencoder's two latents: clusters, classes, grids; and a VAE's",
    ),
    "celeba": (
        "DATA",
        "OUT_DIR",
        "studies.celeba.study.celeba",
        "faces in colour by a convolutional VAE, with 3 latent units and with 100",
    ),
    "faces_ae": (
        "DATA",
        "OUT_DIR",
        "studies.faces.study.faces_ae",
        "facial expressions through 20, 30 and 50 numbers, by an autoencoder",
    ),
    "faces_vae": (
        "DATA",
        "OUT_DIR",
        "studies.faces.study.faces_vae",
        "the same by a variational autoencoder",
    ),
    "playground": (
        "digits",
        "OUT.html",
        "studies.playground.page.playground",
        "write a page on which a small VAE trains in the browser",
    ),
    "segment": (
        "IMAGE",
        "OUT_DIR",
        "studies.segment.study.segment",
        "cut an image into parts by k-means and by spectral clustering",
    ),
}
