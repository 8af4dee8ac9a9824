"""The commands of the program beside `serve`, one file for each group."""
