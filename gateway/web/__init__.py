"""The caregiver's page: live values, waves and alarms of every home, and the acknowledging of alarms."""
