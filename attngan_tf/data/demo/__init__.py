"""The embedded data set of rendered birds."""
