"""A plugin that reads and stores instances without changing more than their UID.

It is the limit of what any plugin in Python can reach, and what the bench compares Curator with.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import orthanc  # noqa: TID251 -- a plugin of its own

NATIVE = "1.2.840.10008.1.2.1"


def copy_all(output, uri, **request):
    """Copy the instances of the body's list, with as many threads as it says."""
    body = json.loads(request["body"])
    read = _decoded if body["Decode"] else orthanc.GetDicomForInstance
    with ThreadPoolExecutor(body["Threads"]) as pool:
        list(pool.map(partial(_copy, read), body["Instances"]))
    output.AnswerBuffer(b"{}", "application/json")


def _decoded(instance):
    """Read an instance with its pixels decoded."""
    return orthanc.RestApiGet(f"/instances/{instance}/file?transcode={NATIVE}")


def _copy(read, instance):
    """Store an instance under a UID of the same length, which stands in it twice."""
    dicom = read(instance)
    tags = json.loads(orthanc.RestApiGet(f"/instances/{instance}"))["MainDicomTags"]
    uid = tags["SOPInstanceUID"].encode()
    other = b"9" + uid[1:]
    answer = json.loads(orthanc.RestApiPost("/instances", dicom.replace(uid, other, 2)))
    if answer["Status"] != "Success":
        raise RuntimeError(answer["Status"])


orthanc.RegisterRestCallback("/bench/copy", copy_all)
