"""Example DAGs: each runs in the tests against the emulator."""
