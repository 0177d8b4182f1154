"""Translation in and out: pages, commands, SQL functions, Datasette's hooks. No logic of its own."""
