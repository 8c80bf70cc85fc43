"""The formats that definitions of virtual machines are written in: a folder for each.

A format is the folder ``formats/ID/`` (dashes of the id are underscores) and its line in
``table.py``. The folder holds

- ``__init__.py``: ``FORMAT`` (id, title, and ``detects``, which tells a file by its content). It is
  loaded for every file that is read, so it imports nothing that detection does not need, and
  compiles its regular expressions when they are used.
- ``rules.py``: ``RULES``, one for each kind of field that identifies the machine.
- ``reader.py``: ``read(source)``, which finds those fields, the disks and the network cards in the
  text, and changes nothing.
- ``kept.py``, where it is needed: places that look like an identity and stay, with the reasons.
- whatever else only this format needs: its parser, what its hypervisor keeps on the host.

A format may use another one's modules where its files contain the other's (an OVA holds an OVF, an
OVF holds VirtualBox's elements). ``formats/firecracker/`` is the one to copy.
"""
