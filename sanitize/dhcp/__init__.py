"""How a guest's configuration says that its DHCP client identifies itself."""
