"""The pages: requests in, HTML and JSON out. Every view function takes `datasette` and `request`."""
