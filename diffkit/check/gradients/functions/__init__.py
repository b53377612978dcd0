"""Functions under check, of whatever framework, seen as functions from vectors to vectors."""
