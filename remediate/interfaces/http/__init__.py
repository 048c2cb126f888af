"""The service over HTTP: alerts in, health and metrics out, and a small API for what the command line does."""
