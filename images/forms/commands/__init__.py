"""What each of Docker's image commands asks for. A new command is one form here with the decorator."""

import pkgutil
from importlib import import_module

from images.forms.commands.base import COMMANDS

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["COMMANDS"]
