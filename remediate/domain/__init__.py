"""Frozen values and pure decisions of incident remediation: no input or output, no clock (`now` is an argument)."""
