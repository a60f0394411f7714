"""``/curator/profiles``: look at profiles, put and delete them, export what they have mapped."""

import logging
from typing import Any

from curator.anonymize.catalog import Catalog, as_json
from curator.anonymize.conformance import statement
from curator.anonymize.definitions import Definition
from curator.anonymize.mapping import Mappings, as_csv
from curator.anonymize.profile import Profile
from curator.definition_files import Source
from curator.errors import Conflict, Forbidden, NotFound
from curator.web import TEXT, Endpoint, Request, Response, json_response, written_object

logger = logging.getLogger(__name__)

CSV = "text/csv; charset=utf-8"
MARKDOWN = "text/markdown; charset=utf-8"


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
        return [
            Endpoint("/curator/profiles", {"GET": self._list}),
            Endpoint(
                "/curator/profiles/{name}",
                {"GET": self._get, "PUT": self._put, "DELETE": self._delete},
            ),
            Endpoint("/curator/profiles/{name}/versions", {"GET": self._versions}),
            Endpoint("/curator/profiles/{name}/table", {"GET": self._table}),
            Endpoint("/curator/profiles/{name}/conformance", {"GET": self._conformance}),
            Endpoint("/curator/profiles/{name}/mapping", {"GET": self._mapping}),
            Endpoint("/curator/schemas/profile", {"GET": self._schema}),
        ]

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
        return json_response(Profile.model_json_schema(by_alias=True))


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
