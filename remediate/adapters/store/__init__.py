"""The store: runs, phases, tasks and transitions in our own tables, through SQLAlchemy Core."""
