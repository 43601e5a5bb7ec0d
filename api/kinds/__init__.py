"""The kinds, one module each. Importing this package fills the registry: a new kind is one more module here.

What launches are made of (``api/launch/kinds``), workflows and notifications are kinds too.
"""

import pkgutil
from importlib import import_module

from api.core.kind import registry

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
import_module("api.launch.kinds")
import_module("api.workflow.kind")
import_module("api.notify")
# No kinds, but tables like theirs.
import_module("api.plan.models")
import_module("api.watch.models")
registry.close()
