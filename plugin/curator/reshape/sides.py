"""What both sides of a merge have to agree in, and what makes them agree; pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from curator.reshape.consensus import Consensus, Values, consensus, differences, module_edits
from curator.reshape.modules import IDENTITY_WARNING
from curator.reshape.plan import Conflict, Edits
from curator.reshape.source import SourceInstance

#: By the Orthanc identifier of what they come from.
Sources = Mapping[str, Sequence[SourceInstance]]

#: What no harmonization may touch: the identifiers follow the plan.
_IDENTIFIERS = frozenset({"PatientID", "StudyInstanceUID"})


@dataclass(frozen=True)
class Target:
    """The side that others are merged into.

    Attributes
    ----------
    orthanc_id : str
    instances : sequence of SourceInstance
        All of its instances that can be read.
    common : Consensus
        What they have in common.
    """

    orthanc_id: str
    instances: Sequence[SourceInstance]
    common: Consensus

    def conflicts(
        self, sources: Sources, identity: Collection[str], decisive: Collection[str] = ()
    ) -> Iterator[Conflict]:
        """Yield what has to be decided.

        That is what the target's own instances contradict each other in, and what any instance of
        the sources says otherwise of the identity.

        Parameters
        ----------
        identity : collection of str
            Keywords of the identity; empty against a value is no conflict.
        decisive : collection of str
            Those of which it is one.
        """
        for one in self.common.disagreements:
            (first, _), (second, _), *_ = one.counts
            yield Conflict(
                element=one.element,
                target=self.orthanc_id,
                target_value=first,
                source=self.orthanc_id,
                source_value=second,
            )
        for source, instances in sources.items():
            for said in _said(instances, identity):
                for found in differences(self.common.values, said, said.keys()):
                    if found.contradicts or found.element in decisive:
                        yield Conflict(
                            element=found.element,
                            target=self.orthanc_id,
                            target_value=found.target,
                            source=source,
                            source_value=found.source,
                        )

    def name_warnings(self, sources: Sources) -> Iterator[str]:
        """Yield a warning for every source whose names of the patient are not the target's."""
        for source, instances in sources.items():
            if any(
                differences(self.common.values, said, said.keys())
                for said in _said(instances, IDENTITY_WARNING)
            ):
                yield f"The patient's name of study {source} is written differently"

    def harmonized(self) -> dict[str, Edits]:
        """Return what gives the target's own instances what most of them say, by instance."""
        disagreeing = [one.element for one in self.common.disagreements]
        keywords = [one for one in (*disagreeing, *self.common.filled) if one not in _IDENTIFIERS]
        return {
            one.orthanc_id: module_edits(self.common.values, keywords, [one.elements])
            for one in self.instances
        }


def target_of(
    orthanc_id: str, instances: Sequence[SourceInstance], keywords: Collection[str]
) -> Target:
    """Return the side that others are merged into, with what its instances agree on."""
    common = consensus([one.elements for one in instances], keywords)
    return Target(orthanc_id, instances, common)


def _said(instances: Sequence[SourceInstance], keywords: Collection[str]) -> Iterator[Values]:
    """Yield what instances agree on, then whatever else single ones of them say."""
    own = consensus([one.elements for one in instances], keywords)
    yield own.values
    for one in own.disagreements:
        for value, _ in one.counts[1:]:
            yield {one.element: value}
