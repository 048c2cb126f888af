"""The outside: one thing per module, each implementing one port of the engine."""
