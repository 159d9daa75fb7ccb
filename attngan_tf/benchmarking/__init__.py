"""What the benchmark measures: programs, FLOPs, memory, the machine."""
