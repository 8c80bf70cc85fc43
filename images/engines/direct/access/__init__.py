"""The bytes of a disk: read from the image where nothing has been written, else a scratch file.

The engine and its helper programs use this, so these modules import as little as they can.
"""
