"""What the provider adds to Airflow's web interface, registered by the entry point ``airflow.plugins`` alone."""
