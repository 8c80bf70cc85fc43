"""The documentation as a site: the documents as they are, and a reference made from the code."""
