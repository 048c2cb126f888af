"""The hosts that runbooks are tried on: how they are built, started, and taken away."""
