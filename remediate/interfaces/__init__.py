"""How people and programs reach the engine: the library and the command line."""
