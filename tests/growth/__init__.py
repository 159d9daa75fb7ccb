"""How time and memory grow: python -m tests.growth."""
