"""Grids, attention figures and curves."""
