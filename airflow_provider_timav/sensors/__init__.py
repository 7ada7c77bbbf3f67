"""Waiting for a stream."""
