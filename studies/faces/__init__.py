"""The study of facial expressions: autoencoders with a few latents, and clusters in them."""
