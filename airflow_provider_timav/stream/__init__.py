"""A live stream, read from the viewer's side: usable without Airflow."""
