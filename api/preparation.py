"""What every process of the server begins with: settings, and the directories they name."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from api.errors import StartRefused
from api.home_directory import prepare_home, prepare_spool, spool_directory
from api.settings import ApiSettings
from contract.errors import SettingError
from contract.exit_codes import INTERRUPTED, end_with
from contract.prefix import use_prefix


def prepared(environ: Mapping[str, str]) -> ApiSettings:
    """Read the settings, and make what they name. Raises: SettingError, OSError."""
    use_prefix(environ)
    return with_directories(ApiSettings.load(environ))


def with_directories(settings: ApiSettings) -> ApiSettings:
    """Make and check what the server writes; ENERGY_HOME only where it is used.

    Raises: SettingError, OSError.
    """
    home = settings.home
    if None in (settings.tokens_file, settings.spool_dir, settings.view_dir):
        home = prepare_home(home)
    spool = prepare_spool(settings.spool_dir or spool_directory(home))
    return settings.model_copy(update={"home": home, "spool_dir": spool})


def exit_code_of(work: Callable[[], int]) -> int:
    """Do the work of a process; what it may refuse is told in one line."""
    try:
        return work()
    except ssl.SSLError as error:
        files = "KAFKA_SSL_CA_FILE, _CERT_FILE or _KEY_FILE"
        return end_with(SettingError(files, str(error)), "energy api")
    except (SettingError, StartRefused, OSError) as error:
        return end_with(error, "energy api")
    except KeyboardInterrupt:
        return INTERRUPTED
