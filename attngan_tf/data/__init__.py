"""From captions and pictures to batches."""
