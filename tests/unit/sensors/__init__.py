"""Sensors, in each of their modes."""
