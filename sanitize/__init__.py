"""What makes a machine itself, and how that is taken away or renewed.

The flow is inspect -> plan -> apply -> verify -> report. This room imports ``images`` and no other.
"""
