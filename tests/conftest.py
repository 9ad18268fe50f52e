import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A job in the background inherits that Ctrl-C is ignored; some tests send it to their processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times, and what is drawn may have to be compiled first.
settings.register_profile("gapgym", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gapgym")


@pytest.fixture(scope="session")
def data_folder():
    """The folder with the public benchmark files, laid out as the cache of the library."""
    given = os.environ.get("GAPGYM_DATA")
    if not given:
        pytest.skip("GAPGYM_DATA is not set, expected the folder of the public benchmark files.")
    if not Path(given).is_dir():
        pytest.skip(f"GAPGYM_DATA is {given}, which is no folder.")
    return Path(given)
