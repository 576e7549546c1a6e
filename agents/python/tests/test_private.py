"""Copies of projects, as thaw_agent/private.py makes them."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "thaw_agent", "private.py")


class CopyTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.project = os.path.join(directory.name, "project")
        self.target = os.path.join(directory.name, "copy")
        os.mkdir(self.project)
        os.mkdir(self.target)

    def write(self, name, data=b"x"):
        path = os.path.join(self.project, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def copy(self, written=(), skip=(), most=1 << 30, entries=1000):
        request = {"project": self.project, "copy": self.target, "written": list(written), "skip": list(skip),
                   "bytes": most, "entries": entries}
        done = subprocess.run([sys.executable, "-I", "-S", PROGRAM, "copy"], input=json.dumps(request),
                              stdout=subprocess.PIPE, check=True, text=True)
        return json.loads(done.stdout)

    def there(self, name):
        return os.path.join(self.target, name)

    def test_looks_alike(self):
        self.write("a/file", b"content")
        os.chmod(os.path.join(self.project, "a/file"), 0o640)
        os.link(os.path.join(self.project, "a/file"), os.path.join(self.project, "again"))
        os.symlink("a/nowhere", os.path.join(self.project, "link"))
        os.mkfifo(os.path.join(self.project, "pipe"))
        os.utime(os.path.join(self.project, "a/file"), ns=(1, 1234567890123456789))
        os.utime(os.path.join(self.project, "a"), ns=(1, 987654321))
        os.chmod(os.path.join(self.project, "a"), 0o555)
        self.addCleanup(os.chmod, os.path.join(self.project, "a"), 0o755)
        self.assertIsNone(self.copy()["why"])
        self.addCleanup(os.chmod, self.there("a"), 0o755)
        for name in ("a", "a/file", "link", "pipe"):
            here, there = os.lstat(os.path.join(self.project, name)), os.lstat(self.there(name))
            self.assertEqual((here.st_mode, here.st_mtime_ns, here.st_uid), (there.st_mode, there.st_mtime_ns, there.st_uid))
        self.assertTrue(os.path.samefile(self.there("again"), self.there("a/file")))
        self.assertEqual(os.readlink(self.there("link")), "a/nowhere")
        with open(self.there("again"), "rb") as file:
            self.assertEqual(file.read(), b"content")

    def test_holes_stay(self):
        path = self.write("sparse", b"begin")
        with open(path, "r+b") as file:
            file.seek(64 << 20)
            file.write(b"end")
            file.truncate((64 << 20) + 5000)
        # Only what takes room counts.
        self.assertIsNone(self.copy(most=1 << 20)["why"])
        with open(path, "rb") as one, open(self.there("sparse"), "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_shares_what_was_not_written(self):
        for name in ("node_modules/x", "env/pyvenv.cfg", "sub/.git/config", "env2/pyvenv.cfg"):
            self.write(name)
        done = self.copy(written=[os.path.join(self.project, "env2/lib")])
        self.assertEqual(sorted(done["shared"]), ["env", "node_modules", "sub/.git"])
        self.assertTrue(os.path.isfile(self.there("env2/pyvenv.cfg")))
        if done["private"]:
            self.assertEqual(os.listdir(self.there("env")), [])
        else:
            self.assertTrue(os.path.islink(self.there("env")))

    def test_leaves_out_what_it_is_told(self):
        self.write("state/journal")
        self.copy(skip=[os.path.join(self.project, "state")])
        self.assertFalse(os.path.exists(self.there("state")))

    def test_is_bounded(self):
        self.write("large", bytes(3 << 20).replace(b"\0", b"x"))
        self.assertIn("more than 1 MB", self.copy(most=1 << 20)["why"])

    def test_counts_files(self):
        for n in range(5):
            self.write("f%d" % n)
        self.assertIn("more than 4 files", self.copy(entries=4)["why"])


if __name__ == "__main__":
    unittest.main()
