"""What the plugin does to Datasette itself: queries, cells, headers, permissions, settings."""
