"""What goes wrong with a single operation, case by case, and what the client makes of it."""
