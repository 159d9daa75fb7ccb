"""The server among strangers: python -m tests.export.traffic."""
