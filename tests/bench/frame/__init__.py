"""What all benchmarks share: how they are run in turns, what they give back, and where their figures are written."""
