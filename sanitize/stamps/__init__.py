"""What differs between two machines that are made from one prepared image: a few bytes.

``compiling`` compares two results of ``sanitize`` and explains every byte in which they differ;
``stamp`` writes those of a third machine. What cannot be explained is no stamp.
"""
