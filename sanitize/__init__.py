"""What makes a machine itself, and how that is taken away or renewed.

The flow is inspect -> plan -> apply -> verify -> report. Of unclone's other packages this one
imports ``images`` only.
"""
