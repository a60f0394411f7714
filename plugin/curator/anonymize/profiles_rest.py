"""``/curator/profiles``: look at profiles, put and delete them, export what they have mapped."""

import logging
from typing import Annotated, Any, NotRequired

from pydantic import Field, create_model
from typing_extensions import TypedDict

from curator.anonymize.catalog import Catalog, as_json
from curator.anonymize.conformance import statement
from curator.anonymize.definitions import Definition
from curator.anonymize.mapping import Mappings, as_csv
from curator.anonymize.profile import Name, Option, Profile
from curator.definition_files import Source
from curator.description import (
    CSV_TYPE,
    DONE,
    EXPAND,
    JSON_TYPE,
    YAML_TYPE,
    Method,
    Parameter,
    json_of,
)
from curator.errors import Conflict, Forbidden, NotFound
from curator.json_schema import JsonSchema
from curator.web import TEXT, Endpoint, Request, Response, json_response, written_object

logger = logging.getLogger(__name__)

CSV = "text/csv; charset=utf-8"
MARKDOWN_TYPE = "text/markdown"
MARKDOWN = f"{MARKDOWN_TYPE}; charset=utf-8"

_NAME = {"name": Annotated[Name, Field(description="Name of a profile")]}


#: In the body of PUT the name may be left out: the URI says it.
NamedByUri = create_model(
    "ProfileNamedByUri", __base__=Profile, name=(Name, Field(default_factory=str))
)


class ShownProfile(Profile):
    """A profile as it is shown; of tables that may not leave, how long they are."""

    hidden_tables: dict[str, int] = Field(default_factory=dict)


class ProfileSummary(TypedDict):
    """A profile in a list."""

    Name: str
    Version: str
    Description: str
    Source: Source
    Place: str
    Options: list[Option]
    Mapping: bool


class BrokenProfile(TypedDict):
    """A profile that this Curator does not accept any more."""

    Name: str
    Source: Source
    Problem: str


class ProfileVersion(TypedDict):
    """A version that was put by REST."""

    Version: str
    User: str
    CreationTime: str


class ResolvedRow(TypedDict):
    """What happens to an element, and why."""

    Tag: str
    Name: str
    VR: str
    Action: str
    Reason: str
    Parameters: NotRequired[dict[str, Any]]


class ProfilesApi:
    """Endpoints of anonymization profiles.

    Parameters
    ----------
    allow_mapping_export : bool
        Whether the configuration lets mappings out.
    """

    def __init__(self, catalog: Catalog, mappings: Mappings, *, allow_mapping_export: bool) -> None:
        self._catalog = catalog
        self._mappings = mappings
        self._allow_mapping_export = allow_mapping_export

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        listed = Method(
            self._list,
            "List profiles",
            json_of(list[str] | list[ProfileSummary | BrokenProfile]),
            query=(EXPAND,),
        )
        shown = Method(
            self._get,
            "Look at a profile",
            json_of(ShownProfile),
            query=(Parameter("version", "A version that is kept; the one in use, where absent"),),
            errors=(409,),
        )
        put = Method(
            self._put,
            "Use a profile, new or in another version",
            json_of(ProfileSummary),
            {JSON_TYPE: NamedByUri, YAML_TYPE: NamedByUri},
            errors=(409,),
        )
        deleted = Method(self._delete, "Take a profile out of use", DONE, errors=(409,))
        schema = Method(self._schema, "JSON schema of a profile", json_of(dict[str, Any]))
        return [
            Endpoint("/curator/profiles", {"GET": listed}),
            Endpoint(
                "/curator/profiles/{name}",
                {"GET": shown, "PUT": put, "DELETE": deleted},
                _NAME,
            ),
            *(
                Endpoint(f"/curator/profiles/{{name}}/{word}", {"GET": method}, _NAME)
                for word, method in self._views().items()
            ),
            Endpoint("/curator/schemas/profile", {"GET": schema}),
        ]

    def _views(self) -> dict[str, Method]:
        """Return what can be seen of one profile, by the last word of the URI."""
        return {
            "versions": Method(
                self._versions,
                "List the versions that were put, the latest first",
                json_of(list[ProfileVersion]),
            ),
            "table": Method(
                self._table,
                "Look up what happens to which element",
                json_of(list[ResolvedRow]),
                errors=(409,),
            ),
            "conformance": Method(
                self._conformance,
                "Write the conformance statement of a profile",
                {MARKDOWN_TYPE: str},
                errors=(409,),
            ),
            "mapping": Method(
                self._mapping,
                "Export which Patient ID became which",
                {CSV_TYPE: str},
                errors=(403, 409),
            ),
        }

    def _list(self, request: Request) -> Response:
        names = list(self._catalog.names())
        if not request.flag("expand"):
            return json_response(names)
        return json_response([self._described(name) for name in names])

    def _described(self, name: str) -> dict[str, Any]:
        """Describe a profile; one that is not valid any more must not hide the others."""
        try:
            return _describe(self._catalog.definition(name))
        except Conflict as error:
            return {"Name": name, "Source": Source.DATABASE, "Problem": error.details}

    def _get(self, request: Request) -> Response:
        (name,) = request.groups
        version = request.query.get("version")
        if version is None:
            return json_response(self._shown(self._catalog.definition(name).profile))
        return json_response(self._shown(self._catalog.version(name, version)))

    def _shown(self, profile: Profile) -> dict[str, Any]:
        """Return the JSON of a profile; its tables are mappings, hence leave like those."""
        shown = as_json(profile)
        if profile.tables and not self._allow_mapping_export:
            del shown["Tables"]
            # Not a field of profiles: what is shown here cannot be put back without its tables.
            shown["HiddenTables"] = {name: len(table) for name, table in profile.tables.items()}
        return shown

    def _put(self, request: Request) -> Response:
        (name,) = request.groups
        definition = self._catalog.put(name, written_object(request), request.user)
        version = definition.profile.version
        logger.info("Profile put by %s: %s version %s", request.user or "-", name, version)
        return json_response(_describe(definition))

    def _delete(self, request: Request) -> Response:
        (name,) = request.groups
        self._catalog.delete(name)
        logger.info("Profile deleted by %s: %s", request.user or "-", name)
        return Response(content_type=TEXT)

    def _versions(self, request: Request) -> Response:
        return json_response(
            [
                {"Version": one.version, "User": one.user, "CreationTime": one.created}
                for one in self._catalog.versions(request.groups[0])
            ]
        )

    def _table(self, request: Request) -> Response:
        _, resolver = self._catalog.get(request.groups[0])
        return json_response(resolver.table())

    def _conformance(self, request: Request) -> Response:
        profile, resolver = self._catalog.get(request.groups[0])
        return Response(statement(profile, resolver).encode(), MARKDOWN)

    def _mapping(self, request: Request) -> Response:
        (name,) = request.groups
        if not self._allow_mapping_export:
            raise Forbidden("$.Curator.AllowMappingExport: has to be true for this, and is not")
        if not self._catalog.definition(name).profile.mapping:
            raise NotFound(f'The profile "{name}" keeps no mapping: its "Mapping" is not true')
        pairs = self._mappings.pairs(name)
        logger.info(
            "Mapping exported by %s: profile %s, %d rows", request.user or "-", name, len(pairs)
        )
        return Response(as_csv(pairs).encode(), CSV)

    def _schema(self, _request: Request) -> Response:
        return json_response(Profile.model_json_schema(schema_generator=JsonSchema))


def _describe(definition: Definition) -> dict[str, Any]:
    profile = definition.profile
    return {
        "Name": profile.name,
        "Version": profile.version,
        "Description": profile.description,
        "Source": definition.source,
        "Place": definition.place,
        "Options": list(profile.options),
        "Mapping": profile.mapping,
    }
