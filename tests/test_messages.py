"""What the command line says fits what it talks about, and names the mend."""

from __future__ import annotations

import pytest

from datasette_faces.cli.group import counted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((1, "face"), "1 face"),
        ((0, "face"), "0 faces"),
        ((2, "face"), "2 faces"),
        ((1, "person", "people"), "1 person"),
        ((1_234, "person", "people"), "1,234 people"),
    ],
)
def test_what_is_counted_fits_its_number(words, told):
    assert counted(*words) == told
