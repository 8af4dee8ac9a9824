"""The outside world, one file each; knows nothing of jobs."""
