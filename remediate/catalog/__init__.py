"""Reads runbooks and settings into values of the domain; collects every problem of a document, raises once."""
