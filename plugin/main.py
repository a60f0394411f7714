"""Entry point of the Curator plugin, named in ``Python.Path`` of Orthanc's configuration.

The only file that imports the SDK of Orthanc; everything else receives it as an argument.
"""

import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent / "packages"
if PACKAGES.is_dir():  # run-time packages beside the plugin, see the README ("Install")
    sys.path.append(str(PACKAGES))

import orthanc  # noqa: E402
from curator import server  # noqa: E402

server.start(orthanc)
