import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from curator.route.destinations.signature import signature


@given(st.binary(), st.integers(0, 10), st.binary(min_size=1))
def test_a_signature_covers_time_and_body_however_it_is_cut(body, cut, secret):
    expected = hmac.new(secret, b"17." + body, hashlib.sha256).hexdigest()
    assert signature(secret, 17, [body[:cut], body[cut:]]) == f"sha256={expected}"
    assert signature(secret, 18, [body]) != signature(secret, 17, [body])
