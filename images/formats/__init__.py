"""The image formats: one module reads the header of each; ``table.py`` has them all."""
