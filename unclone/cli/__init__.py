"""The command line: one module for each command; everything it does is a run."""
