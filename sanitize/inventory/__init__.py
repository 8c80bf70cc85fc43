"""What identifies a machine in its guest as it is now: what a run keeps, and what it leaves alone.

Reads only, and little: a known number of small files, each up to a limit. All text is the guest's
own and may hold anything; it is shortened here and made printable where it is shown.
"""
