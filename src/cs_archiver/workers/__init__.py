"""Two workers claim jobs, run their stages and record what came of it."""
