"""The comparison of two servers sees what differs, and nothing else."""

import pytest

from factory import ct_series
from integration.pair import Pair, Party
from integration.servers import RunningServer


@pytest.fixture
def book(pair) -> Pair:
    """Both servers with one series."""
    book: Pair = pair
    book.upload(ct_series(2))
    return book


CHANGES = {
    "label": ("PUT", "/studies/{study}/labels/x", None),
    "metadata": ("PUT", "/series/{series}/metadata/1024", "x"),
    "attachment": ("PUT", "/patients/{patient}/attachments/1024", "x"),
    "deletion": ("DELETE", "/instances/{instance}", None),
    "copy": ("POST", "/series/{series}/modify", '{"Replace": {"StationName": "X"}}'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_one_server_has_is_seen(book, change):
    method, path, data = change
    book.compare_stored()
    http = book.curator.server.http
    assert http.request(method, book.curator.fill(path), data=data).ok
    with pytest.raises(AssertionError):
        book.compare_stored()


def test_element_of_a_copy_is_seen(book):
    for number, party in enumerate(book):
        body = {"Replace": {"ImageComments": str(number)}}
        assert party.server.http.post(party.fill("/series/{series}/modify"), body).ok
    with pytest.raises(AssertionError):
        book.compare_stored()


def test_identifiers_that_servers_make_are_told_apart_by_their_places():
    party = Party(RunningServer("http://127.0.0.1:1"))
    pair = Pair(party, party, shared={"1.2.276.0.7230010.3.1.4.9"})
    one, other = "1.2.276.0.7230010.3.1.4.1", "1.2.276.0.7230010.3.1.4.2"
    assert pair.numbered([one, other, one]) == pair.numbered([other, one, other])
    assert pair.numbered([one, other, one]) != pair.numbered([one, other, other])
    assert pair.numbered("1.2.276.0.7230010.3.1.4.9") == "1.2.276.0.7230010.3.1.4.9"
