"""A picture from a file in a notebook, with its words."""

from base64 import b64decode

import pytest

from kvmlab.engine import InputError
from kvmlab.figures.show import embedded
from tests.alternatives import missing_alternatives


def test_a_picture_is_embedded_with_its_words(tmp_path):
    place = tmp_path / "walk.gif"
    place.write_bytes(b"GIF89a...")
    bundle = embedded(place, 'A walk: "level 1" & on', width=640)._repr_mimebundle_()
    assert missing_alternatives({"data": bundle}) == []
    assert 'alt="A walk: &quot;level 1&quot; &amp; on"' in bundle["text/html"]
    assert b64decode(bundle["text/html"].split("base64,")[1].split('"')[0]) == b"GIF89a..."
    assert bundle["text/html"].count("data:image/gif;") == 1


@pytest.mark.parametrize(("name", "words"), [("walk.gif", " "), ("walk.exe", "A walk.")])
def test_no_words_and_other_files_are_refused(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="allowed"):
        embedded(tmp_path / name, words)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({"text/html": "<img src=x>"}, 1),
        ({"text/html": "<img src=x alt=''>"}, 1),
        ({"text/html": "<svg></svg><img alt=a>"}, 1),
        ({"text/html": "<svg aria-hidden='true'></svg><svg aria-label='a'/>"}, 0),
        ({"image/png": "...", "text/plain": "a"}, 1),
        ({"image/svg+xml": "<svg aria-label='a'/>"}, 1),
        ({"image/svg+xml": "<svg/>", "text/html": "<img alt=a>"}, 0),
    ],
)
def test_pictures_without_words_are_found(data, wrong):
    assert len(missing_alternatives({"data": data})) == wrong
