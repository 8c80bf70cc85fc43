"""The runs: what each command does, callable from Python. None of them imports click."""
