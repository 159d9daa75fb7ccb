"""The comparison with PyTorch of docs/performance.md, and killed trainings."""
