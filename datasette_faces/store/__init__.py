"""The connection, the schema, and all SQL on it: functions that take a connection first. No HTTP, no click."""
