"""Photos and people forgotten for good: what goes, how, and the search that shows that it is gone."""
