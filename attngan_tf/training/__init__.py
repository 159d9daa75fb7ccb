"""Train steps, the loop, checkpoints."""
