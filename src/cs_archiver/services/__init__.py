"""What a user can ask for, one write transaction each."""
