"""Load generators that the benchmarks compare: how each is installed, started and read."""
