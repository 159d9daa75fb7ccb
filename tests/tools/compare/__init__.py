"""The project's speed beside PyTorch's: python -m tests.tools.compare."""
