"""A run's folder: configuration, checkpoints, reports."""
