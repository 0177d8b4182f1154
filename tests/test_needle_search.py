"""Many short strings are found in many bytes, and strings that are public are not searched for."""

from __future__ import annotations

import numpy as np
import pytest

from datasette_faces.algorithms import needle_search
from datasette_faces.algorithms.needle_search import Needles

pytestmark = pytest.mark.once


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 20) + 7, 3_000_001])
def test_strings_are_found_at_any_offset(size):
    needles = Needles()
    needles.add("a", [b"needle-one", b"needle-two-is-longer-than-16"])
    needles.add("b", [b"short", b"\0\0\0\0\0\0\0\0", b"needle"])
    rng = np.random.default_rng(size)
    data = bytearray(rng.integers(0, 256, size, np.uint8).tobytes())
    offsets = [it for it in (0, 1, 99, (1 << 20) - 3, size - 12) if 0 <= it <= size - 12]
    for offset in offsets:
        data[offset : offset + 10] = b"needle-one"
    hits = needles.build_search().find_all(bytes(data))
    whole = {offset for offset in offsets if data[offset : offset + 10] == b"needle-one"}
    assert {hit.offset for hit in hits if hit.kind == "a"} == whole
    assert needles.too_short == {"a": 0, "b": 2}


def test_rows_and_texts_are_found_in_the_same_way_and_counted_once():
    needles = Needles(b"some public text, that is longer")
    needles.add("texts", [b"a text of sixteen or more", b"public text", b"aaaaaaaa", b"row-one!"])
    needles.add_rows(
        "rows", np.frombuffer(b"row-one!row-two!\0\0\0\0\0\0\x80\x3f", np.uint8).reshape(3, 8)
    )
    search = needles.build_search()
    assert search.counts == {"texts": 3, "rows": 1}
    assert needles.too_short == {"texts": 1}
    hits = search.find_all(b"public text row-two! row-one! teen or more aaaaaaaa")
    assert [(hit.kind, hit.text) for hit in hits] == [
        ("rows", b"row-two!"),
        ("texts", b"row-one!"),
    ]
    assert needles.build_search().counts == search.counts


def test_either_end_of_a_long_text_is_found_alone():
    needles = Needles()
    needles.add("texts", [b"the very beginning, a middle, the very end"])
    hits = needles.build_search().find_all(b"... the very beginni ... le, the very end ...")
    assert [(hit.offset, hit.text) for hit in hits] == [
        (4, b"the very beginni"),
        (25, b"le, the very end"),
    ]


@pytest.mark.parametrize(
    "secret", [b"_" * 20 + b" ends like others", b"a public text th" + b"_" * 20]
)
def test_a_text_with_one_public_and_one_uniform_end_is_compared_in_full(secret):
    public = b"a public text that ends like others"
    needles = Needles(public)
    needles.add("texts", [secret, secret])
    needles.add("texts", [secret])
    search = needles.build_search()
    assert [hit.text for hit in search.find_all(b"x" + secret + b"x")] == [secret]
    assert search.find_all(public) == []


def test_a_text_that_is_compared_in_full_may_cross_chunks(monkeypatch):
    monkeypatch.setattr(needle_search, "CHUNK_BYTES", 64)
    secret = b"a public text th" + b"_" * 60
    needles = Needles(b"a public text that is there")
    needles.add("texts", [secret])
    for before in range(130):
        hits = needles.build_search().find_all(b"x" * before + secret + b"x")
        assert [(hit.offset, hit.text) for hit in hits] == [(before, secret)]


@pytest.mark.slow
@pytest.mark.parametrize("separator", [b"\n", b" "])
def test_texts_that_end_like_public_ones_are_searched_for_and_public_ones_are_not(separator):
    public = separator.join(b"Number%06d Schneider-Bach" % it for it in range(4_000))
    needles = Needles(public)
    needles.add("names", [b"Number%06d Schneider-Bach" % it for it in range(2_000, 6_000)])
    assert needles.build_search().counts == {"names": 2_000}


@pytest.mark.slow
def test_texts_that_begin_like_public_ones_are_searched_for_by_their_end():
    names = [b"Number%05d Schneider-Bach" % it for it in range(2_000)]
    needles = Needles(b" ".join(names))
    needles.add("paths", [b"%s, the %05d.jpg" % (name, place) for place, name in enumerate(names)])
    search = needles.build_search()
    assert search.counts == {"paths": 2_000}
    [hit] = search.find_all(b"xx" + names[7] + b", the 00007.jpg")
    assert hit.text == b"h, the 00007.jpg"
