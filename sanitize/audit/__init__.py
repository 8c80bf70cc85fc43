"""What two machines can have in common: each identity in a guest as a value with its place.

:mod:`.known` has what the rules know, :mod:`.unknown` what looks like an identity and is in no
rule. Reads only. Secrets are not in a value: where a file may hold one, its digest is.
"""
