"""The profiles of this server by name, from all sources, ready to decide.

A name belongs to the first of these that has it: the configuration and the directory, which must
not both have it, the database, what is shipped. So a file of the administrator is never hidden by
what someone has put by REST, and what is shipped may be replaced.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from curator.anonymize.definitions import Definition
from curator.anonymize.profile import Profile
from curator.anonymize.profile_store import ProfileStore, StoredVersion
from curator.anonymize.resolve import Resolver
from curator.anonymize.standard import Standard
from curator.definition_files import Source
from curator.errors import BadRequest, Conflict, NotFound
from curator.models import InvalidModel, nearest, validate
from curator.notation import MAX_LENGTH

logger = logging.getLogger(__name__)

#: Resolved profiles that stay in memory.
REMEMBERED = 64

#: Tells who needs a profile, in words for the one who wants to delete it.
Users = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Validates profiles.

    Parameters
    ----------
    tables : mapping
        Tables of the configuration, which rules may name.
    keys : tuple of str, optional
        Identifiers of the keys of this server, which profiles may name; where absent, any.
    """

    tables: Mapping[str, Mapping[str, str]]
    keys: tuple[str, ...] | None = None

    def __call__(self, value: object) -> Profile:
        """Validate the JSON of a profile.

        Raises
        ------
        InvalidModel
            With every problem and its JSON path.
        """
        profile = validate(Profile, value)
        known = sorted({*profile.tables, *self.tables})
        problems = [
            f'$.Rules[{index}].Table: there is no table "{rule.table}"{nearest(rule.table, known)}'
            for index, rule in enumerate(profile.rules)
            if rule.table is not None and rule.table not in known
        ]
        if profile.key is not None and self.keys is not None and profile.key not in self.keys:
            problems.append(f'$.Key: the key file has no key "{profile.key}"')
        if problems:
            raise InvalidModel(problems)
        return profile


class Catalog:
    """Profiles by name.

    Parameters
    ----------
    shipped : mapping of str to Profile
        What comes along.
    defined : mapping of str to Definition
        What the configuration and the directory have.
    reader : Reader
        Validates what comes in.
    users : sequence of callable
        Who may need a profile.
    """

    def __init__(
        self,
        shipped: Mapping[str, Profile],
        defined: Mapping[str, Definition],
        profiles: ProfileStore,
        standard: Standard,
        reader: Reader,
        users: Sequence[Users] = (),
    ) -> None:
        self._shipped = {
            name: Definition(profile, Source.SHIPPED) for name, profile in shipped.items()
        }
        self._defined = dict(defined)
        self._profiles = profiles
        self._standard = standard
        self._reader = reader
        self._users = list(users)
        self._lock = threading.Lock()
        self._resolvers: OrderedDict[tuple[Source, str, str], tuple[Profile, Resolver]]
        self._resolvers = OrderedDict()

    def needed_by(self, users: Users) -> None:
        """Ask someone else, too, who needs a profile before it is deleted."""
        self._users.append(users)

    # Use

    def get(self, name: str) -> tuple[Profile, Resolver]:
        """Return a profile by name, ready to decide.

        Raises
        ------
        NotFound
            If there is none; the nearest name is told.
        Conflict
            If this Curator does not accept what an earlier one has kept.
        """
        return self._resolved(self.definition(name))

    def parse(self, inline: object) -> Profile:
        """Validate a profile that stands in a request.

        Raises
        ------
        BadRequest
            With every problem; their paths begin with ``$.Profile``. Also if it is longer than one
            in a file may be.
        """
        profile = self._parsed(inline, "$.Profile")
        if len(profile.model_dump_json(exclude_defaults=True)) > MAX_LENGTH:
            raise BadRequest(f"$.Profile: has more than {MAX_LENGTH} characters")
        return profile

    def resolver(self, profile: Profile) -> Resolver:
        """Make a profile that has no name here ready to decide."""
        return Resolver(profile, self._standard)

    # Look

    def definition(self, name: str) -> Definition:
        """Return a profile and where it comes from.

        Raises
        ------
        NotFound, Conflict
            As in `get`.
        """
        if name in self._defined:
            return self._defined[name]
        if (stored := self._profiles.current(name)) is not None:
            return Definition(self._again(stored), Source.DATABASE)
        if name in self._shipped:
            return self._shipped[name]
        raise NotFound(f'Unknown profile "{name}"{nearest(name, list(self.names()))}')

    def names(self) -> dict[str, Source]:
        """Return the names of all profiles, sorted, with their sources."""
        sources = {
            **dict.fromkeys(self._shipped, Source.SHIPPED),
            **{stored.name: Source.DATABASE for stored in self._profiles.all_current()},
            **{name: definition.source for name, definition in self._defined.items()},
        }
        return dict(sorted(sources.items()))

    def version(self, name: str, version: str) -> Profile:
        """Return a version of a profile: the one in use, or an earlier one from the database.

        Raises
        ------
        NotFound, Conflict
            As in `get`.
        """
        if name in self.names():
            profile = self.definition(name).profile
            if profile.version == version:
                return profile
        for stored in self._profiles.versions(name):
            if stored.version == version:
                return self._again(stored)
        raise NotFound(f'Unknown version "{version}" of the profile "{name}"')

    def versions(self, name: str) -> list[StoredVersion]:
        """Return all versions that were put by REST, the latest first, also of a deleted profile.

        Raises
        ------
        NotFound
            If there is no such profile, and never was.
        """
        found = self._profiles.versions(name)
        if not found and name not in self.names():
            raise NotFound(f'Unknown profile "{name}"{nearest(name, list(self.names()))}')
        return found

    # Change

    def put(self, name: str, content: object, user: str) -> Definition:
        """Keep a profile in the database and use it from now on.

        Parameters
        ----------
        content : object
            The JSON of the profile, with this name or none.

        Raises
        ------
        BadRequest
            With every problem.
        Conflict
            If the configuration or a file has the name, or this version is kept with other content.
        """
        if name in self._defined:
            place = self._defined[name].place
            raise Conflict(f'The profile "{name}" is defined in {place}: change it there')
        named = {"Name": name, **content} if isinstance(content, dict) else content
        profile = self._parsed(named)
        if profile.name != name:
            raise BadRequest(f'$.Name: is "{profile.name}", but the URI says "{name}"')
        kept = as_json(profile)
        self._profiles.put(name, profile.version, kept, user, lambda other: self._same(other, kept))
        return Definition(profile, Source.DATABASE)

    def delete(self, name: str) -> None:
        """Take a profile out of the database; its versions stay readable.

        Raises
        ------
        NotFound
            If there is none.
        Conflict
            If it is not in the database, or somebody needs it.
        """
        if name in self._defined:
            place = self._defined[name].place
            raise Conflict(f'The profile "{name}" is defined in {place}: remove it there')
        if self._profiles.current(name) is None:
            if name in self._shipped:
                raise Conflict(f'The profile "{name}" comes with Curator')
            raise NotFound(f'Unknown profile "{name}"{nearest(name, list(self.names()))}')
        needed = [user for users in self._users for user in users(name)]
        if needed:
            raise Conflict(f'The profile "{name}" is in use by {", ".join(needed)}')
        self._profiles.delete(name)

    def detecting(self) -> list[str]:
        """Return the names of the profiles in use that look for text in images."""
        stored = {one.name: one.content for one in self._profiles.all_current()}
        rules = {
            **{name: as_json(one.profile).get("Rules", []) for name, one in self._shipped.items()},
            **{name: content.get("Rules", []) for name, content in stored.items()},
            **{name: as_json(one.profile).get("Rules", []) for name, one in self._defined.items()},
        }
        return sorted(
            name
            for name, all_of_it in rules.items()
            if any("Detect" in rule.get("Pixels", {}) for rule in all_of_it)
        )

    def warn_of_hidden(self) -> None:
        """Log which profiles of the database are hidden by others of the same name."""
        for stored in self._profiles.all_current():
            if stored.name in self._defined:
                logger.warning(
                    "The profile %s of the database is not used: it is defined in %s",
                    stored.name,
                    self._defined[stored.name].place,
                )

    def _resolved(self, definition: Definition) -> tuple[Profile, Resolver]:
        profile = definition.profile
        key = (definition.source, profile.name, profile.version)
        with self._lock:
            found = self._resolvers.get(key)
            if found is not None:
                self._resolvers.move_to_end(key)
                return found
        made = (profile, Resolver(profile, self._standard))
        with self._lock:
            self._resolvers[key] = made
            while len(self._resolvers) > REMEMBERED:
                self._resolvers.popitem(last=False)
        return made

    def _parsed(self, value: object, root: str = "$") -> Profile:
        try:
            return self._reader(value)
        except InvalidModel as error:
            problems = (root + problem.removeprefix("$") for problem in error.problems)
            raise BadRequest("; ".join(problems)) from None

    def _again(self, stored: StoredVersion) -> Profile:
        """Read what is kept, which an earlier Curator has accepted."""
        try:
            return self._reader(stored.content)
        except InvalidModel as error:
            raise Conflict(
                f'Version "{stored.version}" of the profile "{stored.name}" in the database is not'
                f" valid any more: {error}"
            ) from None

    def _same(self, other: object, kept: dict[str, object]) -> bool:
        try:
            return as_json(self._reader(other)) == kept
        except InvalidModel:
            return False


def as_json(profile: Profile) -> dict[str, object]:
    """Return the JSON of a profile, with everything that it leaves to defaults."""
    return profile.model_dump(mode="json", by_alias=True, exclude_none=True)
