"""Command lines: flags, errors, signals and start-up."""
