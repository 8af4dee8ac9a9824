"""HTTP: parse, call a service, render."""
