"""File systems at rest in which content is overwritten where it is, and nothing else is changed.

The length stays, no block is allocated, no time is set and nothing goes through a journal: the same
change of the same image gives the same bytes, which a kernel does not. It is used for images that a
kernel has prepared (``unclone/runs/clone/preparing.py``), in which only values have to be replaced.
"""
