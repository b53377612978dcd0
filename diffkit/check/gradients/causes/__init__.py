"""Guesses at what is wrong with a gradient, each tested on all that is known of the right one."""
