"""Reading live streams, without Airflow."""
