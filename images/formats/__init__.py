"""The image formats: a module for each reads its header; ``table.py`` lists them."""
