"""The parts of the OVF and OVA formats: rows, fields, the manifest, the archive."""
