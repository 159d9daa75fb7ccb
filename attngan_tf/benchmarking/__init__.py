"""Parts of the benchmark: programs, FLOPs, memory, the machine."""
