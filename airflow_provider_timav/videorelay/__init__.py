"""The videorelay API: usable without Airflow."""
