"""A page on which a VAE trains in the browser."""
