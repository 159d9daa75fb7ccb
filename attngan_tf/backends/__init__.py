"""Networks that scores look at pictures through."""
