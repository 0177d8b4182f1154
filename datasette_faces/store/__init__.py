"""The connection, the schema, and all SQL: functions that take a connection first. No HTTP, no click."""
