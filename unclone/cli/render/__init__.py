"""Results for people, on stdout; each thing that is shown has a module here.

``page`` is for text and loads nothing; ``tables`` is for what needs rich, which is slow to load.
"""
