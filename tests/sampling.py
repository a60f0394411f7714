"""How many of many like cases are tried: all, but a few where the unit tests run once more.

Inside the interpreters of Orthanc they find what another Python or another SQLite does otherwise;
for that it takes no crash after each single step, nor text at each place of an image.
"""

import os

STRIDE = 7 if os.environ.get("HYPOTHESIS_PROFILE") == "few" else 1
"""Every how many-eth case is tried, from the first on."""
