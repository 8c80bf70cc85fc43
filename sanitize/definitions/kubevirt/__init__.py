"""The parts of the KubeVirt format: its rows."""
