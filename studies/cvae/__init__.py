"""A VAE that is told the class of the image to draw."""
