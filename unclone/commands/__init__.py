"""One module per command; :mod:`unclone.cli` loads a command when it is asked for."""
