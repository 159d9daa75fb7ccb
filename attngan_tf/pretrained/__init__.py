"""Reading and writing the published PyTorch weights."""
