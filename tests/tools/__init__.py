"""Programs that measured the numbers of docs/performance.md."""
