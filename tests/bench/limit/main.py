"""A plugin that reads and stores instances without changing more than their UID.

It is the limit of what any plugin in Python can reach, and what the bench compares Curator with.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import orthanc  # noqa: TID251 -- a plugin of its own


def copy_all(output, uri, **request):
    """Copy the instances of the body's list, with as many threads as it says."""
    body = json.loads(request["body"])
    with ThreadPoolExecutor(body["Threads"]) as pool:
        list(pool.map(_copy, body["Instances"]))
    output.AnswerBuffer(b"{}", "application/json")


def _copy(instance):
    """Store an instance under a UID of the same length, which stands in it twice."""
    dicom = orthanc.GetDicomForInstance(instance)
    tags = json.loads(orthanc.RestApiGet(f"/instances/{instance}"))["MainDicomTags"]
    uid = tags["SOPInstanceUID"].encode()
    other = b"9" + uid[1:]
    answer = json.loads(orthanc.RestApiPost("/instances", dicom.replace(uid, other, 2)))
    if answer["Status"] != "Success":
        raise RuntimeError(answer["Status"])


orthanc.RegisterRestCallback("/bench/copy", copy_all)
