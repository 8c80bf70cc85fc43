"""Where a guest pins a MAC address, one module per kind of file; steps/mac_pins.py asks them all.

To add a kind, copy sanitize/mac_pins/ifupdown.py and add it to the table of the step.
"""
