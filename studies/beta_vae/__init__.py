"""The same VAE under several weights of its KL term."""
