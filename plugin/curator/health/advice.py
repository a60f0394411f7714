"""What starts, and deserves a word: settings that are unsafe, slow or likely a mistake.

A wrong setting stops the start (``curator.config``); what is here is an administrator's choice, and
is told once in the log and whenever the status is asked for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from curator.config import Settings, WebhookContent

#: What the tests run on.
TESTED = {"Orthanc": ("1.12.7", "1.13.0"), "Python plugin": ("5.0", "7.1")}

#: The GDCM plugin of Debian, which crashes Orthanc when it writes JPEG-LS.
CRASHING_GDCM = "1.8"
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})

#: ``ConcurrentJobs`` where the configuration does not say.
CONCURRENT_JOBS = 2

_LOOPBACK = re.compile(r"127(\.\d+){3}|::1|localhost")


@dataclass(frozen=True)
class Facts:
    """What advice depends on.

    Attributes
    ----------
    configuration : mapping
        The configuration of Orthanc.
    plugins : mapping
        Versions of the loaded plugins by their names.
    orthanc : str
        Version of Orthanc.
    is_volatile : bool
        Whether Curator's database is in memory.
    has_tesseract : bool
        Whether text in images can be found.
    has_no_delay : bool
        Whether ``TCP_NODELAY`` is set in the environment.
    detecting : sequence of str
        Names of the profiles that look for text in images.
    destinations : sequence of str
        Where rules send to.
    has_rules : bool
        Whether there are routing rules.
    """

    configuration: Mapping[str, Any]
    settings: Settings
    plugins: Mapping[str, str] = field(default_factory=dict)
    orthanc: str = TESTED["Orthanc"][0]
    is_volatile: bool = False
    has_tesseract: bool = True
    has_no_delay: bool = True
    detecting: Sequence[str] = ()
    destinations: Sequence[str] = ()
    has_rules: bool = False


def advice(facts: Facts) -> list[str]:
    """Return what an administrator should know; most texts begin with a JSON path."""
    parts = (_access, _authorization, _versions, _storage, _webhooks, _pixels, _routing)
    return [text for part in parts for text in part(facts)]


def _access(facts: Facts) -> Iterator[str]:
    configuration = facts.configuration
    if not _is_open(configuration):
        return
    yield (
        "$.AuthenticationEnabled: is false, and others than this machine may ask: whoever reaches"
        " the server can read, change and undo everything"
    )
    if facts.settings.allow_mapping_export:
        yield "$.Curator.AllowMappingExport: is true, and nobody is asked for a password"
    if facts.settings.reidentify_key_file is not None:
        yield "$.Curator.ReidentifyKeyFile: is set, and nobody is asked for a password"


def _is_open(configuration: Mapping[str, Any]) -> bool:
    """Tell whether others than this machine may ask without a password."""
    addresses = configuration.get("HttpBindAddresses") or ["0.0.0.0"]  # noqa: S104  every one
    return (
        bool(configuration.get("RemoteAccessAllowed", False))
        and configuration.get("AuthenticationEnabled") is False
        and "Authorization" not in configuration
        and not all(_LOOPBACK.fullmatch(str(address)) for address in addresses)
    )


def _authorization(facts: Facts) -> Iterator[str]:
    section = facts.configuration.get("Authorization", {})
    asks_for_profiles = "WebServiceRootUrl" in section or "WebServiceUserProfileUrl" in section
    loaded = "authorization" in facts.plugins and asks_for_profiles
    if loaded and not _python_comes_first(facts.configuration.get("Plugins", [])):
        yield (
            "$.Plugins: the authorization plugin answers /tools/bulk-anonymize, and with audit logs"
            " /anonymize, in the place of a plugin that is loaded after it, and passes over"
            ' "Profile": name the file of the Python plugin before that of the authorization plugin'
        )


def _python_comes_first(plugins: Sequence[str]) -> bool:
    """Tell whether the Python plugin is certainly loaded before that of authorization."""
    for path in plugins:
        name = re.split(r"[/\\]", str(path))[-1]
        if "OrthancPython" in name:
            return True
        if "OrthancAuthorization" in name or not re.search(r"\.(so|dll|dylib)$", name):
            return False  # the order within a directory is that of the file system
    return False


def _versions(facts: Facts) -> Iterator[str]:
    found = {"Orthanc": facts.orthanc, "Python plugin": facts.plugins.get("python", "")}
    for name, version in found.items():
        if version and version not in TESTED[name]:
            tested = " and ".join(TESTED[name])
            yield f"{name} {version} was never tested with this Curator, {tested} were"
    section = facts.configuration.get("Gdcm", {})
    allowed = section.get("RestrictTransferSyntaxes")
    is_loaded = facts.plugins.get("gdcm") == CRASHING_GDCM and section.get("Enable", True)
    if is_loaded and (allowed is None or not JPEG_LS.isdisjoint(allowed)):
        yield (
            "$.Gdcm.RestrictTransferSyntaxes: should be a list without JPEG-LS"
            f" ({', '.join(sorted(JPEG_LS))}), on which Debian's GDCM plugin crashes Orthanc"
        )


def _storage(facts: Facts) -> Iterator[str]:
    configuration = facts.configuration
    if facts.is_volatile:
        yield (
            "$.Curator.Database: is in memory: undo, jobs, rules and deliveries are gone when the"
            " machine stops"
        )
    recycles = configuration.get("MaximumStorageMode", "Recycle") == "Recycle"
    for name in ("MaximumStorageSize", "MaximumPatientCount"):
        if facts.has_rules and recycles and configuration.get(name, 0):
            yield (
                f"$.{name}: Orthanc deletes the oldest patients to keep to it, also what rules have"
                " not delivered yet"
            )


def _webhooks(facts: Facts) -> Iterator[str]:
    for name, webhook in facts.settings.webhooks.items():
        path = f"$.Curator.Webhooks.{name}"
        url = urlsplit(webhook.url)
        what = "images" if webhook.content is WebhookContent.ARCHIVE else "identifiers"
        if url.scheme == "http" and not _LOOPBACK.fullmatch(url.hostname or ""):
            yield f"{path}.Url: {what} go over the network without TLS"
        elif url.scheme == "https" and webhook.verify is False:
            yield f"{path}.Verify: is false, so {what} go to whoever answers"


def _pixels(facts: Facts) -> Iterator[str]:
    if facts.detecting and not facts.has_tesseract:
        names = ", ".join(facts.detecting)
        yield f"Tesseract is not installed, and profiles ask for Detect: {names}"


def _routing(facts: Facts) -> Iterator[str]:
    configuration = facts.configuration
    modalities = [name for name in facts.destinations if name.startswith("modality:")]
    jobs = configuration.get("ConcurrentJobs", CONCURRENT_JOBS)
    if 1 < len(modalities) >= jobs > 0:
        yield (
            f"$.ConcurrentJobs: is {jobs}, and rules send to {len(modalities)} modalities: with one"
            " more than these, none has to wait, or to send instances one by one"
        )
    if modalities and configuration.get("JobsHistorySize", 10) == 0:
        yield (
            "$.JobsHistorySize: is 0, so Orthanc forgets a job before its success is seen, and"
            " instances are sent to modalities again"
        )
    if modalities and not facts.has_no_delay:
        yield (
            "TCP_NODELAY=1 is not in the environment of Orthanc: without it C-STORE sends some 20"
            " instances per second"
        )
    if facts.has_rules and configuration.get("LuaScripts"):
        yield "$.LuaScripts: scripts are loaded beside rules; what both send is sent twice"
