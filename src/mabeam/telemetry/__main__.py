"""``python -m mabeam.telemetry`` prints the table that ``docs/reference/telemetry.md`` holds."""

import sys

from mabeam.telemetry._reference import reference_table

if __name__ == "__main__":
    sys.stdout.write(reference_table())
