"""The section ``Curator`` of Orthanc's configuration, validated whole at the start.

A bad configuration stops the start of Orthanc: better a server that says which line is wrong than
one that loses or leaks a study because a setting was ignored.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictBool, field_validator
from sqlalchemy import URL

from curator.models import InvalidModel, Model, validate


class ConfigurationError(ValueError):
    """Every problem of the configuration, one in a line.

    Parameters
    ----------
    problems : list of str
        Each begins with the JSON path, or the file, of what is wrong.
    """

    def __init__(self, problems: list[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"Curator does not start, its configuration has to be changed:\n{lines}")
        self.problems = problems


#: Names of webhooks and folders, as the core has them for modalities and peers.
DestinationName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


#: Names and values of headers of HTTP (RFC 9110 5.1, 5.5): nothing that could end one and begin
#: another.
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]

#: Headers that Curator sets itself.
_OWN_HEADERS = ("content-length", "content-type", "transfer-encoding")


class WebhookContent(StrEnum):
    """What is posted to a webhook."""

    JSON = "Json"
    ARCHIVE = "Archive"


class Webhook(Model):
    """An HTTP server that is told of studies, or gets them.

    Attributes
    ----------
    secret_file : str or None
        File whose content signs every body (HMAC-SHA-256).
    timeout : float
        Seconds that an answer may take.
    verify : bool or str
        Whether certificates are checked, or a file with those that are trusted.
    """

    url: Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]+$")]
    content: WebhookContent = WebhookContent.JSON
    secret_file: str | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    timeout: Annotated[float, Field(gt=0, le=3600, strict=False)] = 30.0
    verify: bool | str = True

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OWN_HEADERS or name.lower().startswith("x-curator-"):
                raise ValueError(f"{name} is set by Curator itself")
        return headers


class Folder(Model):
    """A directory that instances are written to.

    Attributes
    ----------
    path : str
        Template of the file's path below the root: ``{PatientID}/{SOPInstanceUID}.dcm``.
    """

    root: str
    path: str = "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"


class DestinationSettings(Model):
    """How one destination is treated.

    Attributes
    ----------
    concurrency : int
        Deliveries that go to it at the same time.
    rate : float or None
        Instances per second.
    window : str or None
        When anything may be sent to it (``Mon-Fri 18:00-07:00``).
    batch : int
        Instances that one association, or one request, carries.
    timeout : int
        Seconds without an answer after which an attempt is given up.
    breaker : int
        Failures in a row after which it is left alone for a while.
    transcode : str or None
        Transfer syntax UID of what is sent, where the rule does not say.
    """

    concurrency: Annotated[int, Field(ge=1, le=16)] = 2
    rate: Annotated[float | None, Field(gt=0, strict=False)] = None
    window: str | None = None
    batch: Annotated[int, Field(ge=1, le=1000)] = 100
    timeout: Annotated[int, Field(ge=1, le=3600)] = 30
    breaker: Annotated[int, Field(ge=1, le=1000)] = 3
    transcode: str | None = None


class Alerts(Model):
    """Who is told, without patients' data, of what is parked, held or failed.

    Attributes
    ----------
    webhooks : tuple of str
        Names of webhooks.
    minutes : int
        At least as long between two digests.
    """

    webhooks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    minutes: Annotated[int, Field(ge=1, le=10_080)] = 15


class Settings(Model):
    """Settings of Curator, by their names in the section ``Curator``.

    Attributes
    ----------
    database : str or None
        SQLAlchemy URL of Curator's database. By default ``curator.db`` beside Orthanc's index.
    workers : int
        Operations that run at the same time; others wait as ``Pending`` jobs.
    threads_per_job : int
        Instances that one operation reads and writes at the same time.
    cache_megabytes : int
        What one operation keeps in memory of the files that it has read for its plan.
    jobs_history_size : int
        Finished jobs that stay in ``/jobs``.
    journal_days : int
        How long operations stay in the journal, and can be undone.
    follow_days : int
        How long late instances go after a series or study that has moved.
    profiles : tuple of dict
        Anonymization profiles; validated where they are read (``anonymize.definitions``).
    profiles_directory : str or None
        Where files with more profiles are.
    key_file : str or None
        The key that pseudonyms are derived from. By default ``curator.key`` beside Orthanc's index.
    lookup_tables : dict of str to str
        CSV files with tables for profiles, by the name of the table.
    allow_mapping_export : bool
        Whether REST tells which Patient ID became which.
    reidentify_key_file : str or None
        Private key (PEM) that opens what profiles have encrypted.
    rules : tuple of dict
        Routing rules; validated where they are read (``route.definitions``).
    receive : tuple of dict
        Rules at reception, as above.
    reception : bool
        Whether Curator sees what comes in also where the configuration has no rules at reception.
    rules_directory : str or None
        Where files with more rules of both kinds are.
    webhooks : dict of str to Webhook
        HTTP destinations, by name.
    folders : dict of str to Folder
        Directories that instances are written to, by name.
    destinations : dict of str to DestinationSettings
        What differs from the defaults, by the name of a destination (``modality:PACS``).
    alerts : Alerts
        Who is told of what goes wrong.
    delivery_days : int
        How long finished runs and deliveries, and what was sent, are kept.
    route_workers : int
        Runs that are at work at the same time.
    """

    database: str | None = None
    workers: Annotated[int, Field(ge=1, le=32)] = 2
    threads_per_job: Annotated[int, Field(ge=1, le=32)] = 4
    cache_megabytes: Annotated[int, Field(ge=0, le=100_000)] = 256
    jobs_history_size: Annotated[int, Field(ge=1, le=100_000)] = 100
    journal_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    follow_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    profiles: tuple[dict[str, Any], ...] = ()
    profiles_directory: str | None = None
    key_file: str | None = None
    lookup_tables: dict[str, str] = Field(default_factory=dict)
    allow_mapping_export: StrictBool = False
    reidentify_key_file: str | None = None
    rules: tuple[dict[str, Any], ...] = ()
    receive: tuple[dict[str, Any], ...] = ()
    reception: StrictBool = False
    rules_directory: str | None = None
    webhooks: dict[DestinationName, Webhook] = Field(default_factory=dict)
    folders: dict[DestinationName, Folder] = Field(default_factory=dict)
    destinations: dict[str, DestinationSettings] = Field(default_factory=dict)
    alerts: Alerts = Field(default_factory=lambda: Alerts())
    delivery_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    route_workers: Annotated[int, Field(ge=1, le=32)] = 2


def load(configuration: dict[str, Any]) -> Settings:
    """Read Curator's settings from the whole configuration of Orthanc.

    Raises
    ------
    ConfigurationError
        With every problem and its JSON path.
    """
    problems = _plugin_problems(configuration)
    settings = Settings()
    try:
        settings = validate(Settings, configuration.get("Curator", {}))
    except InvalidModel as error:
        problems += [problem.replace("$", "$.Curator", 1) for problem in error.problems]
    if problems:
        raise ConfigurationError(problems)
    return settings


def database_url(settings: Settings, configuration: dict[str, Any], directory: Path) -> str:
    """Return the URL of Curator's database, by default a file beside Orthanc's index.

    Parameters
    ----------
    directory : Path
        What relative paths of the configuration start from.
    """
    if settings.database is not None:
        return settings.database
    database = str(index_directory(configuration, directory) / "curator.db")
    return URL.create("sqlite", database=database).render_as_string(hide_password=False)


def index_directory(configuration: dict[str, Any], directory: Path) -> Path:
    """Return where Orthanc's index is, and what Curator keeps beside it."""
    storage = configuration.get("StorageDirectory", "OrthancStorage")
    name: str = configuration.get("IndexDirectory", storage)
    return (directory / name).resolve()


def default_charset(configuration: dict[str, Any]) -> str:
    """Return the defined term of Orthanc's ``DefaultEncoding``, which files without one are in.

    An encoding that DICOM does not know becomes ASCII: other text is then refused, not guessed.
    """
    return _CHARSETS.get(configuration.get("DefaultEncoding", "Latin1"), "ISO_IR 6")


#: Defined terms (PS3.3 C.12.1.1.2) by Orthanc's names of encodings.
_CHARSETS = {
    "Ascii": "ISO_IR 6",
    "Utf8": "ISO_IR 192",
    "Latin1": "ISO_IR 100",
    "Latin2": "ISO_IR 101",
    "Latin3": "ISO_IR 109",
    "Latin4": "ISO_IR 110",
    "Latin5": "ISO_IR 148",
    "Cyrillic": "ISO_IR 144",
    "Arabic": "ISO_IR 127",
    "Greek": "ISO_IR 126",
    "Hebrew": "ISO_IR 138",
    "Thai": "ISO_IR 166",
    "Japanese": "ISO_IR 13",
    "JapaneseKanji": "ISO 2022 IR 87",
    "Korean": "ISO 2022 IR 149",
    "SimplifiedChinese": "ISO 2022 IR 58",
    "Chinese": "GB18030",
}


def _plugin_problems(configuration: dict[str, Any]) -> list[str]:
    python = configuration.get("Python")
    if isinstance(python, dict) and python.get("AllowThreads") is True:
        return []
    problem = (
        "$.Python.AllowThreads: must be true, since otherwise one slow call stops every request"
        ' to Curator; add "AllowThreads": true to the section "Python"'
    )
    return [problem]
