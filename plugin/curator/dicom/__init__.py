"""Bytes in, bytes out: read and edit encoded DICOM instances.

The package knows DICOM and nothing of Orthanc. It has no I/O, no clock, no threads and no logging.
Each module uses only those above it:

- :mod:`.errors`, :mod:`.tags`, :mod:`.charset`, :mod:`.element`: names, text, one element.
- :mod:`.structure`: where the elements of an encoded data set start and end.
- :mod:`.edits`: what to do with which element. :mod:`.encode`: new values and elements.
- :mod:`.site`: one level of an instance. :mod:`.private`, :mod:`.changes`, :mod:`.widen`: what an
  edit does there.
- :mod:`.uidmap`: what an operation has moved. :mod:`.referring`, :mod:`.listing`, :mod:`.nesting`,
  :mod:`.references`: what refers to it, found and repaired.
- :mod:`.filemeta`, :mod:`.instance`: the file around the data set.
- :mod:`.encoded`: a site on encoded bytes. :mod:`.fallback`: a site on what pydicom has read.
- :mod:`.engine` changes an instance, :mod:`.reader` reads one.
- :mod:`.identifiers`: Orthanc's identifiers and derived UIDs.
"""
