import subprocess

from lbwdet.measuring.environment import available_cpus, commit, cpu_name


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_is_clean_dirty_or_unknown(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    assert commit(package) is None  # no repository
    git(tmp_path, "init", "-q")
    assert commit(package) is None  # not tracked
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", "v1")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(package) == head
    (package / "__init__.py").write_text("a = 2\n")
    assert commit(package) == f"{head}-dirty"


def test_a_package_inside_somebody_elses_repository(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "first", "--allow-empty")
    installed = tmp_path / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert commit(installed) is None


def test_cpu_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel\t\t: 79\n")
    assert cpu_name(cpuinfo) == "Some CPU @ 2 GHz"
    assert cpu_name(tmp_path / "absent")


def test_available_cpus():
    assert available_cpus() >= 1
