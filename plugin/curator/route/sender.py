"""Where instances came from, so that they do not go back there."""

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from curator.errors import CuratorError
from curator.gateway import Gateway, Resource
from curator.route.kinds import DestinationKind

#: Metadata that name what an instance was made from.
_MADE_FROM = ("ModifiedFrom", "AnonymizedFrom")

#: Copies of copies that are followed back.
_GENERATIONS = 8


@dataclass(frozen=True)
class Place:
    """How a destination would show as a sender; empty where it does not."""

    aet: str = ""
    addresses: frozenset[str] = frozenset()

    def sent(self, metadata: Mapping[str, str]) -> bool:
        """Tell whether an instance with these metadata came from there."""
        aet = metadata.get("RemoteAET", "").strip()
        if aet and aet == self.aet:
            return True
        return address_of(metadata.get("RemoteIP", "")) in self.addresses


class Senders:
    """Finds the instances that a destination has sent itself.

    Parameters
    ----------
    gateway : Gateway
    resolve : callable
        Returns the addresses of a host name, none where it has none.
    """

    def __init__(
        self,
        gateway: Gateway,
        resolve: Callable[[str], Iterable[str]] | None = None,
    ) -> None:
        self._gateway = gateway
        self._resolve = resolve or _resolved

    def sent_by(
        self, destinations: Iterable[str], instances: Mapping[str, Resource]
    ) -> dict[str, frozenset[str]]:
        """Return those of some instances that came from a destination, or were made from such.

        Destinations that have sent none are left out.
        """
        places = {one: self._place(one) for one in destinations}
        known = {one: place for one, place in places.items() if place != Place()}
        histories = self._histories(instances) if known else {}
        sent = {
            destination: frozenset(
                one
                for one, history in histories.items()
                if any(place.sent(found.metadata) for found in history)
            )
            for destination, place in known.items()
        }
        return {destination: found for destination, found in sent.items() if found}

    def origins(self, instances: Mapping[str, Resource]) -> frozenset[str]:
        """Return instances, and what they were made from, of several generations."""
        histories = self._histories(instances).values()
        return frozenset(found.orthanc_id for history in histories for found in history)

    def _histories(self, instances: Mapping[str, Resource]) -> dict[str, list[Resource]]:
        """Return what instances were made from, one after the other, as far as it is stored."""
        histories = {one: [resource] for one, resource in instances.items()}
        known = dict(instances)
        for _ in range(_GENERATIONS):
            before = {one: _origin(history[-1]) for one, history in histories.items()}
            wanted = {origin for origin in before.values() if origin and origin not in known}
            known |= {one.orthanc_id: one for one in self._gateway.lookup(wanted)}
            longer = {one: origin for one, origin in before.items() if origin in known}
            if not longer:
                break
            for one, origin in longer.items():
                histories[one].append(known[origin])
        return histories

    def _place(self, destination: str) -> Place:
        kind, _, name = destination.partition(":")
        match kind:
            case DestinationKind.MODALITY:
                found = self._configured("/modalities?expand", name)
                return Place(str(found.get("AET", "")), self._addresses(str(found.get("Host", ""))))
            case DestinationKind.PEER:
                found = self._configured("/peers?expand", name)
                return Place(addresses=self._addresses_of_url(found))
            case DestinationKind.DICOMWEB:
                return Place(addresses=self._addresses_of_url(self._dicomweb(name)))
        return Place()

    def _configured(self, uri: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._gateway.get_json(uri).get(name, {})
        return found

    def _dicomweb(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._gateway.get_of_plugins("/dicom-web/servers?expand")
        except CuratorError:  # the plugin is not there: neither is the destination
            return {}
        return dict(found.get(name, {}))

    def _addresses_of_url(self, server: Mapping[str, Any]) -> frozenset[str]:
        return self._addresses(urlsplit(str(server.get("Url", ""))).hostname or "")

    def _addresses(self, host: str) -> frozenset[str]:
        """Return the addresses of a host; this machine's own are no sign of anybody."""
        if not host:
            return frozenset()
        own = address_of(host)
        found = [own] if own else [address_of(one) for one in self._resolve(host)]
        return frozenset(filter(None, found))


def _origin(resource: Resource) -> str:
    """Return what an instance was made from, empty where nothing is known of that."""
    return next(filter(None, (resource.metadata.get(name, "") for name in _MADE_FROM)), "")


def address_of(text: str) -> str:
    """Return an address in one form, empty where it is none, or one of this machine alone."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return "" if address.is_loopback or address.is_unspecified else str(address)


@lru_cache(maxsize=256)
def _resolved(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))
