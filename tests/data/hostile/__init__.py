"""Hostile files, a few for each kind of fault, and what must become of them."""
