"""Tells people who do not watch the dashboard; nothing here can hold up a job."""
