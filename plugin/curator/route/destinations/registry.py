"""All destinations there are: those of the server, and webhooks and folders of Curator's own.

Modalities, peers and DICOMweb servers are asked for when they are needed, since REST adds and
removes them while Orthanc runs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from curator.config import DestinationSettings, Folder, Settings, Webhook, default_charset
from curator.errors import CoreError, NotFound
from curator.gateway import Gateway
from curator.models import nearest
from curator.route.delivery import Destination, SendOptions
from curator.route.destinations.abilities import missing
from curator.route.destinations.core_jobs import CoreJobs, Wait, worker_limit
from curator.route.destinations.dicomweb import DicomWeb
from curator.route.destinations.file_path import parse_path_template
from curator.route.destinations.folder import FolderDestination, writable
from curator.route.destinations.modality import Modality
from curator.route.destinations.peer import Peer
from curator.route.destinations.verification import Verifier
from curator.route.destinations.webhook import WebhookDestination
from curator.route.kinds import DestinationKind
from curator.route.step import WRITABLE
from curator.route.window import Window


class Destinations:
    """Finds destinations by name, ``kind:name``.

    Parameters
    ----------
    gateway : Gateway
    settings : Settings
    configuration : dict
        The configuration of Orthanc.
    directory : Path
        What relative paths of the configuration start from.
    clock : callable
        Seconds since 1970.
    wait : callable
        Waits for an event, some seconds at most.

    Attributes
    ----------
    problems : list of str
        What is wrong with the webhooks, folders and settings of the configuration: a reason not to
        start.
    """

    def __init__(
        self,
        gateway: Gateway,
        settings: Settings,
        configuration: dict[str, Any],
        directory: Path,
        clock: Callable[[], float] = time.time,
        wait: Wait = threading.Event.wait,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._directory = directory
        self._clock = clock
        self._charset = default_charset(configuration)
        self._dicomweb_root = _root(configuration.get("DicomWeb"))
        self._jobs = CoreJobs(gateway, worker_limit(configuration.get("ConcurrentJobs")), wait)
        self._verifier = Verifier(gateway, wait)
        self.problems: list[str] = []
        self._own: dict[str, WebhookDestination | FolderDestination] = {}
        for name, webhook in settings.webhooks.items():
            self._add_webhook(name, webhook)
        for name, folder in settings.folders.items():
            self._add_folder(name, folder)
        self._check_names()

    def get(self, name: str) -> Destination:
        """Return a destination.

        Raises
        ------
        NotFound
            If there is none of that name now; says which one may be meant.
        """
        if name in self._own:
            return self._own[name]
        if (problem := self.problem(name)) is not None:
            raise NotFound(problem)
        kind, _, own_name = name.partition(":")
        settings = self._settings_of(name)
        if kind == DestinationKind.MODALITY:
            return Modality(
                own_name, self._gateway, self._jobs, settings, self._verifier, self._clock
            )
        if kind == DestinationKind.PEER:
            return Peer(own_name, self._gateway, settings, self._clock)
        return DicomWeb(
            own_name, self._dicomweb_root, self._gateway, self._jobs, settings, self._verifier
        )

    def webhook(self, name: str) -> WebhookDestination:
        """Return a webhook by its name in ``Curator.Webhooks``.

        Raises
        ------
        NotFound
            If there is none.
        """
        found = self._own.get(f"{DestinationKind.WEBHOOK}:{name}")
        if not isinstance(found, WebhookDestination):
            raise NotFound(
                f'There is no webhook "{name}"{nearest(name, [*self._settings.webhooks])}'
            )
        return found

    def job_over(self, job: str) -> None:
        """Take notice of a job of the core that is over; returns at once."""
        self._jobs.job_over(job)

    def names(self) -> list[str]:
        """Return the names of all destinations there are now."""
        return sorted(
            [
                *(f"{kind}:{name}" for kind in _SERVERS for name in self._of_server(kind)),
                *self._own,
            ]
        )

    def problem(self, name: str, options: SendOptions | None = None) -> str | None:
        """Return why nothing can be sent to a destination, None where it can.

        Parameters
        ----------
        options : SendOptions, optional
            What a rule asks for.
        """
        kinds = [str(kind) for kind in DestinationKind]
        kind, colon, own_name = name.partition(":")
        if not colon or kind not in kinds:
            text = f'"{name}" names no destination: it begins with one of {", ".join(kinds)} and :'
            return text + nearest(name, self.names())
        if name not in self._own and own_name not in self._of_server(DestinationKind(kind)):
            return self._unknown(DestinationKind(kind), own_name)
        if options is None:
            return None
        transcode = options.transcode or self._settings_of(name).transcode
        return missing(DestinationKind(kind), options, transcode)

    def _unknown(self, kind: DestinationKind, own_name: str) -> str:
        if kind is DestinationKind.DICOMWEB and self._dicomweb_servers() is None:
            return f'There is no DICOMweb server "{own_name}": the DICOMweb plugin is not loaded'
        own = f"{kind}:"
        same_kind = [name.removeprefix(own) for name in self.names() if name.startswith(own)]
        return f'There is no {_WORDS[kind]} "{own_name}"{nearest(own_name, same_kind)}'

    def _of_server(self, kind: DestinationKind) -> list[str]:
        """Return the names of what the server has of a kind."""
        if kind is DestinationKind.MODALITY:
            return [str(name) for name in self._gateway.get_json("/modalities")]
        if kind is DestinationKind.PEER:
            return [str(name) for name in self._gateway.get_json("/peers")]
        if kind is DestinationKind.DICOMWEB:
            return self._dicomweb_servers() or []
        return []

    def _dicomweb_servers(self) -> list[str] | None:
        try:
            servers = self._gateway.get_of_plugins(f"{self._dicomweb_root}servers")
        except CoreError as error:
            if error.unknown_resource:
                return None
            raise
        return [str(name) for name in servers]

    def _settings_of(self, name: str) -> DestinationSettings:
        return self._settings.destinations.get(name, DestinationSettings())

    def _add_webhook(self, name: str, webhook: Webhook) -> None:
        place = f"$.Curator.Webhooks.{name}"
        if not _names_host(webhook.url):
            self.problems.append(
                f"{place}.Url: must name a host, and no user: use Headers for that"
            )
            return
        secret_file = None
        if webhook.secret_file is not None:
            secret_file = self._directory / webhook.secret_file
            if not _has_content(secret_file):
                text = "must be a file that can be read and is not empty"
                self.problems.append(f"{place}.SecretFile: {text}")
                return
        if isinstance(webhook.verify, str):
            webhook = webhook.model_copy(update={"verify": str(self._directory / webhook.verify)})
        full_name = f"{DestinationKind.WEBHOOK}:{name}"
        settings = self._settings_of(full_name)
        try:
            self._own[full_name] = WebhookDestination(
                name, webhook, secret_file, self._gateway, settings, self._clock
            )
        except OSError:  # of which the errors of TLS are
            self.problems.append(f"{place}.Verify: must be a file with certificates (PEM)")

    def _add_folder(self, name: str, folder: Folder) -> None:
        place = f"$.Curator.Folders.{name}"
        root = self._directory / folder.root
        try:
            template = parse_path_template(folder.path)
        except ValueError as error:
            self.problems.append(f"{place}.Path: {error}")
            return
        if not root.is_dir():
            self.problems.append(f"{place}.Root: must be a directory that exists")
        elif (problem := writable(root)) is not None:
            self.problems.append(f"{place}.Root: {problem}")
        full_name = f"{DestinationKind.FOLDER}:{name}"
        settings = self._settings_of(full_name)
        self._own[full_name] = FolderDestination(
            name, root, template, self._gateway, settings, self._charset, self._clock
        )

    def _check_names(self) -> None:
        """Check the names of settings and alerts, as far as they are known before the start."""
        own = [
            *(f"{DestinationKind.WEBHOOK}:{name}" for name in self._settings.webhooks),
            *(f"{DestinationKind.FOLDER}:{name}" for name in self._settings.folders),
        ]
        for name, settings in self._settings.destinations.items():
            place = f'$.Curator.Destinations["{name}"]'
            kind = name.partition(":")[0]
            if name in own or kind in _SERVERS:
                problems = _problems_of(DestinationKind(kind), settings)
                self.problems += [place + problem for problem in problems]
            else:
                self.problems.append(f"{place}: names no destination{nearest(name, own)}")
        for position, name in enumerate(self._settings.alerts.webhooks):
            if name not in self._settings.webhooks:
                text = f'$.Curator.Alerts.Webhooks[{position}]: there is no webhook "{name}"'
                self.problems.append(text + nearest(name, [*self._settings.webhooks]))


#: Kinds that the server knows by itself.
_SERVERS = (DestinationKind.MODALITY, DestinationKind.PEER, DestinationKind.DICOMWEB)

_WORDS = {
    DestinationKind.MODALITY: "modality",
    DestinationKind.PEER: "peer",
    DestinationKind.DICOMWEB: "DICOMweb server",
    DestinationKind.WEBHOOK: "webhook",
    DestinationKind.FOLDER: "folder",
}


def _root(dicomweb: object) -> str:
    """Return where the routes of the DICOMweb plugin are."""
    root = dicomweb.get("Root", "/dicom-web/") if isinstance(dicomweb, dict) else "/dicom-web/"
    return f"/{str(root).strip('/')}/"


def _problems_of(kind: DestinationKind, settings: DestinationSettings) -> Iterator[str]:
    """Yield what is wrong with the settings of a destination, each with the rest of its path."""
    if settings.window is not None:
        try:
            Window.parse(settings.window)
        except ValueError as error:
            yield f".Window: {error}"
    syntax = settings.transcode
    if syntax is not None and syntax not in WRITABLE:
        yield f".Transcode: is no transfer syntax that Orthanc writes: {', '.join(WRITABLE)}"
    elif (problem := missing(kind, SendOptions(), syntax)) is not None:
        yield f".Transcode: {problem}"


def _names_host(url: str) -> bool:
    """Tell whether a URL has a host, a port that there is if any, and no user."""
    try:
        address = urlsplit(url)
        return bool(address.hostname) and address.username is None and address.port != 0
    except ValueError:  # no IPv6 address in brackets, or no such port
        return False


def _has_content(file: Path) -> bool:
    try:
        return bool(file.read_bytes().strip())
    except OSError:
        return False
