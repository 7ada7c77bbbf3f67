"""What all tests share: the emulator's fixture, as users of the provider get it."""

pytest_plugins = ["airflow_provider_timav.emulator.pytest_plugin"]
