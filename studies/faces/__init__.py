"""Facial expressions through a few numbers."""
