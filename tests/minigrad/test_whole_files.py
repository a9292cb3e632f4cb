"""What is there before a file is saved: modes, links, pipes, long names, strays of dead writers."""

import errno
import os
import socket
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

import minigrad as mg
from minigrad.draw import Picture, draw
from minigrad.draw.graph.records import PictureNode
from minigrad.io import whole_files
from minigrad.io.whole_files import write_atomically

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


def write(path, content=b"new"):
    write_atomically(path, lambda file: file.write_bytes(content))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400, 0o755])
def test_a_mode_is_kept_and_never_wider_meanwhile(tmp_path, mode):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(mode)

    def fill(temporary):
        meanwhile = stat.S_IMODE(temporary.stat().st_mode)
        assert meanwhile & ~mode & ~0o600 == 0
        assert meanwhile & 0o111 == 0  # half a program is not run
        temporary.write_bytes(b"new")

    write_atomically(file, fill)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == mode


@posix
@pytest.mark.parametrize("allowed", ["owner and group", "group", "nothing"])
def test_the_group_is_kept_or_its_rights_are_not_given_to_another(tmp_path, monkeypatch, allowed):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(0o775)
    asked, real = [], os.stat_result(file.stat())
    other = os.stat_result((*real[:5], real.st_gid + 1, *real[6:]))

    def chown(path, owner, group):
        asked.append((owner, group))
        if allowed == "nothing" or (allowed == "group" and owner != -1):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    whole_files._keep_rights(file, other)
    both, group = (real.st_uid, real.st_gid + 1), (-1, real.st_gid + 1)
    assert asked == ([both] if allowed == "owner and group" else [both, group])
    assert stat.S_IMODE(file.stat().st_mode) == (0o705 if allowed == "nothing" else 0o775)


@posix
def test_a_pipe_a_socket_and_a_device_are_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(tmp_path / "socket"))
        for path, kind in (
            (tmp_path / "pipe", "a named pipe"),
            (tmp_path / "socket", "a socket"),
            ("/dev/null", "a device"),
        ):
            with pytest.raises(FileExistsError, match=f"cannot be saved: it is {kind}"):
                write(path)
            with pytest.raises(FileExistsError, match=f"{path}' cannot be saved"):
                mg.save(path, {"w": np.ones(1)})
    assert names(tmp_path) == ["pipe", "socket"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_links_are_followed_also_to_a_file_that_is_not_there_yet(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/a")
    for content in (b"first", b"second"):
        write(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere" / "a").read_bytes() == content
    assert names(tmp_path / "elsewhere") == ["a"]
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="round'") as caught:
        write(tmp_path / "round")
    assert caught.value.errno == errno.ELOOP


@posix
def test_a_drawing_keeps_links_and_modes(tmp_path):
    picture = draw(Picture((PictureNode(0, "input"),)))
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "real.json").chmod(0o600)
    (tmp_path / "link.json").symlink_to("real.json")
    picture.save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert stat.S_IMODE((tmp_path / "real.json").stat().st_mode) == 0o600
    assert Picture.from_json((tmp_path / "real.json").read_text()) == picture.graph


@pytest.mark.parametrize("letter", ["a", "é", "한"])
def test_the_longest_names_can_be_saved(tmp_path, letter):
    limit = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    name = letter * ((limit - 4) // len(letter.encode())) + ".npz"
    mg.save(tmp_path / name, {"w": np.ones(1)})
    assert names(tmp_path) == [name]
    with pytest.raises(OSError, match=r"\.npz'$") as caught:
        mg.save(tmp_path / f"{'a' * limit}.npz", {"w": np.ones(1)})
    assert caught.value.filename == os.fspath(tmp_path / f"{'a' * limit}.npz")


DYING = """
import runpy, sys
write_atomically = runpy.run_path(sys.argv[2])["write_atomically"]

def fill(file):
    file.write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.readline()

write_atomically(sys.argv[1], fill)
"""


@posix
def test_what_a_dead_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    def begin(name):
        # The module alone, since the package takes a second to import.
        command = [sys.executable, "-c", DYING, os.fspath(tmp_path / name), whole_files.__file__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"writing\n"
        return process

    with begin("dead") as dead, begin("living") as living:
        dead.kill()
        dead.wait()
        assert len(names(tmp_path)) == 2
        hour_ago = time.time() - 3600
        for path in tmp_path.iterdir():
            os.utime(path, (hour_ago, hour_ago))
        write(tmp_path / "other")
        assert len(names(tmp_path)) == 2
        living.communicate(b"\n")
    assert names(tmp_path) == ["living", "other"]
    assert (tmp_path / "living").read_bytes() == b"half"


@posix
def test_a_temporary_file_that_was_taken_for_a_stray_is_made_again(tmp_path, monkeypatch):
    lock, times = whole_files.fcntl.flock, []

    def taken_first(handle, operation):
        if not times:  # the other process came between making and locking
            (left,) = tmp_path.iterdir()
            left.unlink()
        times.append(operation)
        lock(handle, operation)

    monkeypatch.setattr(whole_files.fcntl, "flock", taken_first)
    write(tmp_path / "a")
    assert len(times) == 2
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@posix
def test_ctrl_c_before_the_lock_leaves_no_file_and_no_handle(tmp_path, monkeypatch):
    handles = []

    def interrupted(handle, _):
        handles.append(handle)
        raise KeyboardInterrupt

    write(tmp_path / "a", b"old")
    monkeypatch.setattr(whole_files.fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handles[0])


@posix
def test_a_folder_and_a_link_named_like_strays_stay_and_files_named_otherwise(tmp_path):
    (tmp_path / ".minigrad-0.partial").mkdir()
    (tmp_path / ".minigrad-1.partial").symlink_to(tmp_path / "a")
    for name in (".minigrad-2.txt", "b.partial"):
        (tmp_path / name).write_bytes(b"mine")
    before = names(tmp_path)
    write(tmp_path / "a")
    write(tmp_path / "a")
    assert names(tmp_path) == sorted([*before, "a"])


@pytest.mark.parametrize("without", ["fcntl", "locks"])
def test_without_locks_only_old_files_are_strays(tmp_path, monkeypatch, without):
    def no_locks(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    if without == "fcntl":
        monkeypatch.setattr(whole_files, "fcntl", None)
    elif whole_files.fcntl is not None:
        monkeypatch.setattr(whole_files.fcntl, "flock", no_locks)
    now = 2.0**30  # a number of which file systems keep every digit
    monkeypatch.setattr(time, "time", lambda: now)
    for name, age in ((".minigrad-00.partial", 601), (".minigrad-01.partial", 600), ("mine", 3600)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (now - age,) * 2)
    write(tmp_path / "a")
    assert names(tmp_path) == [".minigrad-01.partial", "a", "mine"]


@posix
@pytest.mark.parametrize("case", ["usual", "taken for a stray", "without fcntl"])
def test_a_save_leaves_no_handle_open(tmp_path, monkeypatch, case):
    opened, made, real = [], [], os.open

    def open_files(path, flags, *mode, **more):
        opened.append(real(path, flags, *mode, **more))
        if flags & os.O_CREAT:
            made.append(path)
            if case == "taken for a stray" and len(made) == 1:
                os.unlink(path)
        return opened[-1]

    stray = tmp_path / ".minigrad-0.partial"
    stray.write_bytes(b"half")
    os.utime(stray, (0, 0))
    if case == "without fcntl":
        monkeypatch.setattr(whole_files, "fcntl", None)
    monkeypatch.setattr(os, "open", open_files)
    write(tmp_path / "a")
    assert names(tmp_path) == ["a"]
    assert len(made) == 1 + (case == "taken for a stray")
    for handle in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_failure_while_filling_names_the_file_as_it_was_given(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)

    def fill(file):
        file.write_bytes(b"ha")
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=r": 'a'$") as caught:
        write_atomically("a", fill)
    assert caught.value.errno == number
    assert names(tmp_path) == []


def test_an_error_about_a_file_that_is_read_meanwhile_stays_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="font") as caught:
        write_atomically(tmp_path / "a", lambda file: (tmp_path / "font").read_bytes())
    assert caught.value.filename == os.fspath(tmp_path / "font")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_opened_is_not_synced(tmp_path, monkeypatch):
    """As on Windows."""
    real, refused = os.open, []

    def open_files(path, flags, *mode, **more):
        if os.path.isdir(path):
            refused.append(path)
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", open_files)
    write(tmp_path / "a")
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"new")
    assert [os.fspath(path) for path in refused] == [os.path.realpath(tmp_path)]


@posix
@pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_is_told_if_the_disk_fails(
    tmp_path, monkeypatch, number, told
):
    real = os.fsync

    def sync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    if told:
        with pytest.raises(OSError, match=r"a'$"):
            write(tmp_path / "a")
    else:
        write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["a.npz/", "a.safetensors/"])
def test_a_name_with_a_slash_at_its_end_is_refused(tmp_path, name):
    with pytest.raises(IsADirectoryError, match=rf"{name}' cannot be saved: it ends in '/'"):
        mg.save(f"{tmp_path}/{name}", {"w": np.ones(3)})
    with pytest.raises(IsADirectoryError, match="ends in '/'"):
        write_atomically(f"{tmp_path}/{name}", lambda path: path.write_text("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_bytes_is_refused_in_words(tmp_path):
    for save in (lambda path: mg.save(path, {}), mg.save_checkpoint):
        with pytest.raises(TypeError, match=r"the path must be text or a path, got b'.*fsdecode"):
            save(bytes(tmp_path / "a.npz"))


@posix
@pytest.mark.parametrize("link", ["a.npz", "folder"])
def test_a_link_to_nowhere_is_told_with_the_folder_that_is_missing(tmp_path, link):
    (tmp_path / link).symlink_to("missing/deep.npz" if link == "a.npz" else "missing")
    file = tmp_path / "a.npz" if link == "a.npz" else tmp_path / "folder" / "a.npz"
    message = rf"the link '.*/{link}' leads to nothing, and there is no folder '.*/missing'; make"
    with pytest.raises(FileNotFoundError, match=message):
        mg.save(file, {})
