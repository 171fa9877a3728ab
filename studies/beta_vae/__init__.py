"""One VAE, trained with several weights of its KL term."""
