"""Identities: their values and spellings, how new ones are allocated or derived, and the ledger."""
