"""The embedded data set of drawn birds."""
