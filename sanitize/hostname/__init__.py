"""The host name: where a guest has it written, and what becomes of each place."""
