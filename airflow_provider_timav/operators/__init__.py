"""One operation of the API each."""
