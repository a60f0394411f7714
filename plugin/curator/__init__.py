"""Curator: split, merge, anonymize and route inside an Orthanc server."""

__version__ = "0.1.0"
