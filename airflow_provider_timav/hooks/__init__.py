"""Airflow connections to the API."""
