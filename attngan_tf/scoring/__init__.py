"""Scores of trained models: what is drawn, and what it is held against."""
