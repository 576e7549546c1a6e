import os
import shutil


def increment(path, start):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(path, "r+", encoding="utf-8") as file:
            count = int(file.read()) + 1
            file.seek(0)
            file.write(str(count))
            file.truncate()
    except FileNotFoundError:
        count = start
        replace(path, str(count))
    return count


def replace(path, text):
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def append(path, line):
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def rotate(folder, count, keep):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"page-{count:04}"), "xb") as file:
        file.write(bytes(range(256)) * (count % 3 + 1))
    pages = sorted(os.listdir(folder))
    for old in pages[:-keep]:
        os.remove(os.path.join(folder, old))
    return pages[-keep:]


def scratch(folder, names):
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        os.makedirs(os.path.join(folder, name, "deep"))
        with open(os.path.join(folder, name, "deep", "note"), "w", encoding="utf-8") as file:
            file.write(name[::-1])
    os.rename(os.path.join(folder, names[0]), os.path.join(folder, "first"))
    shutil.rmtree(os.path.join(folder, names[-1]))


def publish(link, text):
    target = link + ".txt"
    replace(target, text)
    if os.path.islink(link):
        os.unlink(link)
    os.symlink(os.path.basename(target), link)
    os.chmod(target, 0o640)


def export_all(folder):
    return shutil.make_archive("export", "tar", folder)
