"""One module per command; :mod:`unclone.cli.main` loads a command when it is asked for."""
