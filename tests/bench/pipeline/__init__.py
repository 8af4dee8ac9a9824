"""One job through the product beside a shell script of the bare commands."""
