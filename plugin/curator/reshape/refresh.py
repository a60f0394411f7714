"""Let Orthanc read the main DICOM tags of a parent again, where its index says something else.

Only there: before 1.13, Orthanc locks its cache of parsed files while it reconstructs, and then
waits for the index; whoever deletes an instance at that moment has the index and waits for the
cache. Neither goes on, ever.
"""

from curator.access import Access
from curator.dicom import reader
from curator.dicom.errors import DicomError
from curator.gateway import Resource
from curator.level import Level


def refresh(access: Access, level: Level, orthanc_id: str) -> None:
    """Reconstruct a patient, study or series, if its instances do not say what the index says.

    Raises
    ------
    CoreError
        If the instance that Orthanc reads is damaged.
    """
    resource = access.gateway.resource(level, orthanc_id)
    if resource is not None and not _is_right(access, resource):
        access.gateway.reconstruct(level, orthanc_id)


def _is_right(access: Access, resource: Resource) -> bool:
    """Tell whether the index has what an instance says."""
    instance = access.gateway.one_instance(resource)
    tags = access.gateway.main_dicom_tags(resource.level)
    if instance is None or not tags:
        return False
    try:
        dicom = access.gateway.read(instance)
        header = reader.read(dicom, tags.values(), default_charset=access.default_charset)
        said = {
            keyword: element.text if (element := header.element(tag)) else ""
            for keyword, tag in tags.items()
        }
    except DicomError:
        return False
    return all(resource.tags.get(keyword, "") == text for keyword, text in said.items())
