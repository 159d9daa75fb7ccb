"""Feature extractors of metrics."""
