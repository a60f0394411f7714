"""Put together what anonymizes by a profile, from the profile, the key and the tables."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from curator.access import Access
from curator.anonymize.anonymizer import Anonymizer
from curator.anonymize.keys import Keys
from curator.anonymize.pixels.cleaner import PixelCleaner, TextDetector
from curator.anonymize.pixels.tables import known_devices
from curator.anonymize.profile import Profile
from curator.anonymize.service import AnonymizeService
from curator.anonymize.setup import Anonymization
from curator.anonymize.task import NoWitness, Witness
from curator.anonymize.values import Values
from curator.errors import Conflict
from curator.store import Store

#: Anonymizers that stay in memory: the route for one instance is asked again and again.
REMEMBERED = 16


class Anonymizers:
    """Makes anonymizers, one for each profile.

    Parameters
    ----------
    default_charset : str
        Defined term for instances without Specific Character Set.
    detector : TextDetector or None
        Finds burned-in text; None where no program is installed that does.
    """

    def __init__(
        self, anonymization: Anonymization, default_charset: str, detector: TextDetector | None
    ) -> None:
        self._anonymization = anonymization
        self._default_charset = default_charset
        self._detector = detector
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Anonymizer] = OrderedDict()

    def __call__(self, profile: Profile, preview: bool) -> Anonymizer:
        """Return what anonymizes by a profile.

        Parameters
        ----------
        preview : bool
            Whether sequential pseudonyms are only foretold, and none is given out.

        Raises
        ------
        Conflict
            If the key that the profile names is gone.
        """
        sequential = self._anonymization.sequential
        if preview:
            return self._make(profile, sequential.preview())
        key = profile.model_dump_json()
        with self._lock:
            found = self._made.get(key)
        if found is None:
            found = self._make(profile, sequential)
        with self._lock:
            self._made[key] = found
            self._made.move_to_end(key)
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return found

    def _make(self, profile: Profile, sequential: Callable[[str, str], str]) -> Anonymizer:
        resolver = self._anonymization.catalog.resolver(profile)
        values = Values(
            profile,
            self._keys(profile),
            tables=self._anonymization.tables,
            sequential=sequential,
        )
        pixels = PixelCleaner(
            resolver, profile.pixels, devices=known_devices(), detector=self._detector
        )
        return Anonymizer(profile, resolver, values, pixels, default_charset=self._default_charset)

    def _keys(self, profile: Profile) -> Keys:
        ring = self._anonymization.keyring
        keys = ring.current if profile.key is None else ring.get(profile.key)
        if keys is None:
            raise Conflict(f'The key file has no key "{profile.key}" any more')
        return keys


def anonymize_service(
    access: Access,
    store: Store,
    anonymization: Anonymization,
    detector: TextDetector | None = None,
    witness: Witness | None = None,
) -> AnonymizeService:
    """Return what the routes ask, with all that belongs to it."""
    return AnonymizeService(
        access,
        store,
        anonymization.catalog,
        Anonymizers(anonymization, access.default_charset, detector),
        anonymization.keys.identifier,
        anonymization.mappings.note,
        witness or NoWitness(),
    )
