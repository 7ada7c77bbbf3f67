"""Live broadcasts as Airflow DAGs, through Tencent's TIM AV videorelay API."""
