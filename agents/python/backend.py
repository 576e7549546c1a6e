"""Builds the package `thaw` with nothing but the standard library, so that it installs from a clone without a network."""
import base64
import hashlib
import io
import os
import re
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def _project():
    with open(os.path.join(HERE, "pyproject.toml"), encoding="utf-8") as file:
        text = file.read()
    return {key: re.search(r'^%s = "([^"]*)"$' % key, text, re.M).group(1) for key in ("name", "version", "description", "requires-python")}


def _metadata():
    project = _project()
    return (
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {description}\nLicense: Apache-2.0\n"
        "Requires-Python: {requires-python}\n"
    ).format(**project)


def _sources():
    package = os.path.join(HERE, "thaw")
    for name in sorted(os.listdir(package)):
        if name.endswith((".py", ".typed")):
            with open(os.path.join(package, name), "rb") as file:
                yield "thaw/" + name, file.read()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    project = _project()
    stem = "%s-%s" % (project["name"], project["version"])
    info = stem + ".dist-info/"
    files = list(_sources()) + [
        (info + "METADATA", _metadata().encode()),
        (info + "WHEEL", b"Wheel-Version: 1.0\nGenerator: thaw\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    record = io.StringIO()
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files:
            # A fixed time: equal sources make equal wheels.
            wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.write("%s,sha256=%s,%d\n" % (path, digest, len(data)))
        record.write(info + "RECORD,,\n")
        wheel.writestr(zipfile.ZipInfo(info + "RECORD", (1980, 1, 1, 0, 0, 0)), record.getvalue())
    return name


def build_sdist(sdist_directory, config_settings=None):
    project = _project()
    stem = "%s-%s" % (project["name"], project["version"])
    with tarfile.open(os.path.join(sdist_directory, stem + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        def add(path, data):
            entry = tarfile.TarInfo(stem + "/" + path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))

        add("PKG-INFO", _metadata().encode())
        for name in ("pyproject.toml", "backend.py"):
            with open(os.path.join(HERE, name), "rb") as file:
                add(name, file.read())
        for path, data in _sources():
            add(path, data)
    return stem + ".tar.gz"
