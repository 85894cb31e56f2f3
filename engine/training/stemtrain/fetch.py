"""Unpacks the sources of sources.toml.

    python -m stemtrain.fetch WORK [--clones DIR]

Each source comes to WORK/sources/<name>. Of a Git repository only the listed commit is fetched and
only the listed files are unpacked; DIR may hold clones already, as <owner>+<name>/repo. Objects that
a clone lacks are skipped with a line: large files are often absent from mirrors.
"""

import argparse
import re
import subprocess
import tomllib
from pathlib import Path

MANIFEST = Path(__file__).parents[1] / "sources.toml"


def clone(source: dict, work: Path, clones: Path | None) -> Path:
    if clones is not None:
        target = clones / source["repository"].replace("/", "+") / "repo"
        return target / ".git" if (target / ".git").exists() else target
    target = work / "clones" / source["name"]
    git = ["git", "--git-dir", str(target)]
    url = f"https://github.com/{source['repository']}"
    subprocess.run([*git, "init", "--quiet", "--bare"], check=True)
    subprocess.run([*git, "fetch", "--depth", "1", url, source["commit"]], check=True)
    return target


def unpack_git(source: dict, git_dir: Path, target: Path) -> None:
    git = ["git", "--git-dir", str(git_dir)]
    listing = subprocess.run(
        [*git, "ls-tree", "-r", "-z", source["commit"], "--", *source["paths"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    wanted = re.compile(source["files"])
    with subprocess.Popen(
        [*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        for entry in filter(None, listing.split("\0")):
            fields, path = entry.split("\t", 1)
            if not wanted.search(path):
                continue
            reader.stdin.write(fields.split()[2].encode() + b"\n")
            reader.stdin.flush()
            header = reader.stdout.readline().split()
            if header[-1] == b"missing":
                print(f"{source['name']}: {path} is absent from the clone")
                continue
            content = reader.stdout.read(int(header[2]))
            reader.stdout.read(1)
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        reader.stdin.close()


def unpack_debian(source: dict, work: Path, target: Path) -> None:
    packages = work / "packages"
    packages.mkdir(exist_ok=True)
    subprocess.run(
        ["apt-get", "download", f"{source['name']}={source['version']}"], cwd=packages, check=True
    )
    for package in packages.glob(f"{source['name']}_*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, target], check=True)
    wanted = re.compile(source.get("files", ""))
    for path in target.rglob("*"):
        if path.is_file() and not wanted.search(str(path)):
            path.unlink()


def build_pico(target: Path) -> None:
    """The speech program of Pico; it looks for its languages in ./lang."""
    pico = target / "pico"
    sources = sorted((pico / "lib").glob("*.c")) + [pico / "bin" / "pico2wave.c"]
    command = ["gcc", "-O2", "-w", f"-I{pico / 'lib'}", *sources]
    subprocess.run([*command, "-o", target / "pico2wave", "-lpopt", "-lm"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--clones", type=Path)
    options = parser.parse_args()
    manifest = tomllib.loads(MANIFEST.read_text())
    for kind in ("git", "debian"):
        for source in manifest[kind]:
            target = options.work / "sources" / source["name"]
            if (target / ".complete").exists():
                continue
            target.mkdir(parents=True, exist_ok=True)
            if kind == "git":
                unpack_git(source, clone(source, options.work, options.clones), target)
            else:
                unpack_debian(source, options.work, target)
            if source["name"] == "picotts":
                build_pico(target.resolve())
            (target / ".complete").touch()
            print(source["name"], "unpacked", flush=True)


if __name__ == "__main__":
    main()
