"""What happens to a job in each state: one verb a file, each safe to run again after a crash."""
