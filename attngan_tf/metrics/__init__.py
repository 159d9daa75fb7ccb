"""Scores: numpy arrays in, floats out."""
