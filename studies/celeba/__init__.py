"""Faces by a convolutional VAE."""
