"""The section ``Curator`` of Orthanc's configuration, validated whole at the start.

A bad configuration stops the start of Orthanc: better a server that says which line is wrong than
one that loses or leaks a study because a setting was ignored.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from curator.models import InvalidModel, Model, validate


class ConfigurationError(ValueError):
    """Every problem of the configuration, one in a line."""


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
    jobs_history_size : int
        Finished jobs that stay in ``/jobs``.
    """

    database: str | None = None
    workers: Annotated[int, Field(ge=1, le=32)] = 2
    threads_per_job: Annotated[int, Field(ge=1, le=32)] = 4
    jobs_history_size: Annotated[int, Field(ge=1, le=100_000)] = 100


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
        raise ConfigurationError(
            "Curator does not start, its configuration has to be changed:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    return settings


def database_url(settings: Settings, configuration: dict[str, Any]) -> str:
    """Return the URL of Curator's database, by default a file beside Orthanc's index."""
    if settings.database is not None:
        return settings.database
    storage = configuration.get("StorageDirectory", "OrthancStorage")
    directory = Path(configuration.get("IndexDirectory", storage))
    return f"sqlite:///{directory.resolve() / 'curator.db'}"


def _plugin_problems(configuration: dict[str, Any]) -> list[str]:
    if configuration.get("Python", {}).get("AllowThreads") is True:
        return []
    problem = (
        "$.Python.AllowThreads: must be true, since otherwise one slow call stops every request"
        ' to Curator; add "AllowThreads": true to the section "Python"'
    )
    return [problem]
