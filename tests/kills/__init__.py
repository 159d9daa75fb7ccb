"""SIGKILL at many moments of a run, and what is left of it at the end."""
