"""The published PyTorch weights, both ways."""
