"""A VAE that draws images of a requested class."""
