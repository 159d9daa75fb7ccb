"""Growth of time and memory with sizes: python -m tests.tools.growth."""
