import hashlib
import hmac
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from curator.route.destinations.signature import signature

README = Path(__file__).resolve().parents[4] / "README.md"

#: As in the README, for who writes a receiver.
EXAMPLE = "b0d67af28240e19ceb9525bf0f213de4696c306890a6e8d0e00dd662cc56e518"


@given(st.binary(), st.integers(0, 10), st.binary(min_size=1))
def test_a_signature_covers_time_and_body_however_it_is_cut(body, cut, secret):
    expected = hmac.new(secret, b"17." + body, hashlib.sha256).hexdigest()
    assert signature(secret, 17, [body[:cut], body[cut:]]) == f"sha256={expected}"
    assert signature(secret, 18, [body]) != signature(secret, 17, [body])


def test_the_example_of_the_readme_comes_out():
    assert signature(b"secret", 1_700_000_000, [b'{"Event": "Test"}']) == f"sha256={EXAMPLE}"
    assert EXAMPLE in README.read_text(encoding="utf-8")
