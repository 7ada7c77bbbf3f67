"""Callbacks that act."""
