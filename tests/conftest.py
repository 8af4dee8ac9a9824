"""What holds for all tests, wherever a run begins."""

pytest_plugins = ["tests.support.tally", "tests.support.worlds"]
