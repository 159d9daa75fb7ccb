"""The development server behind `python -m export.serve`."""
