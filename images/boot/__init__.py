"""Boot a guest's disks in a throw-away virtual machine, confined, and read what it sends.

Knows no identities: what the guest says on its report port is bytes here.
"""
