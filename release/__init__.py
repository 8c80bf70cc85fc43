"""What a release is made of: man pages and the Debian package. Nothing of it is installed."""
