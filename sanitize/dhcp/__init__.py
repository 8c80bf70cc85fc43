"""By what a guest's configuration says a DHCP client has to identify itself."""
