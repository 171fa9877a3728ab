"""The two latents of an autoencoder and of a VAE."""
