"""How a guest is booted: kernel command lines and the formats that hold them."""
