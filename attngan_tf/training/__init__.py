"""Training: steps, trainers, the loop, devices, reports."""
