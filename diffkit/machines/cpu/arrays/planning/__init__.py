"""From a tape to the code of an array program."""
