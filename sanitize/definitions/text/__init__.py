"""Text that is read for editing: every value knows its place, and new text is spliced in there."""
