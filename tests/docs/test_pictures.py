"""Pictures of measurements show what was measured."""

import json
from xml.etree import ElementTree

from docs.pictures import slow_requests


def test_the_picture_of_slow_requests_is_drawn_from_its_figures() -> None:
    assert slow_requests.PICTURE.read_text() == slow_requests.draw(json.loads(slow_requests.FIGURES.read_text()))


def test_every_request_that_was_measured_is_a_line_of_the_picture() -> None:
    tree = ElementTree.fromstring(slow_requests.PICTURE.read_text())
    lines = [path.get("d", "").count("M") for path in tree.findall(".//{*}path") if "requests" in path.get("class", "")]
    assert lines == [slow_requests.REQUESTS] * len(slow_requests.SERVERS)
