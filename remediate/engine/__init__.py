"""The use cases: what is done with runbooks and runs. Talks to ports only, never to the outside."""
