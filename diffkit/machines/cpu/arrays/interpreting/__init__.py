"""Native code that runs an array program, instruction by instruction."""
