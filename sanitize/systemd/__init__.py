"""systemd read offline: units as it would load them, presets as a first boot would apply them."""
