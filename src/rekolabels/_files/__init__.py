"""Files and folders: private, locked or temporary ones, output files, and checks of files from elsewhere."""

from rekolabels._files._folders import (
    FILE_MODE,
    FOLDER_MODE,
    FileLock,
    Folder,
    create_private_file,
    lock_file,
    open_private,
)
from rekolabels._files._output_file import escape_surrogates, printable_name, replacing, without_formula
from rekolabels._files._rollback import names_another_file
from rekolabels._files._temporary import TemporaryFolder

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "FileLock",
    "Folder",
    "TemporaryFolder",
    "create_private_file",
    "escape_surrogates",
    "lock_file",
    "names_another_file",
    "open_private",
    "printable_name",
    "replacing",
    "without_formula",
]
