from . import one

NAME = f"two beside {one.NAME}"
